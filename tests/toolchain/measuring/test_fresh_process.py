"""A file measured in a separate process, on the device whose latency is known."""

from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.backends.fake import latency_ms
from exporters.graph.model import Model
from exporters.graph.to_onnx import export_onnx
from toolchain.errors import Inconclusive
from toolchain.measuring.fresh_process import FileRequest, summarize_in_fresh_process
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Quiet

SPEC = TargetSpec(backend="fake", batch=2)
PLAN = MeasurementPlan(rounds=2, min_ms=1.0, quiet_timeout_s=1.0)


def request_for(path: Path, folder: Path) -> FileRequest:
    return FileRequest(path, SPEC, PLAN, str(folder / "latency.sqlite"))


@pytest.mark.long
def test_the_latency_is_that_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    export_onnx(nn.Conv2d(3, 4, 3).eval(), torch.zeros(2, 3, 8, 8), file)
    summary = summarize_in_fresh_process(request_for(file, tmp_path), Quiet(), "measure model.onnx again")
    assert summary.latency_ms == pytest.approx(latency_ms(Model(file), 2), rel=0.05)
    assert summary.rounds == 2


def test_a_process_without_an_answer_is_inconclusive(tmp_path: Path) -> None:
    with pytest.raises(Inconclusive, match=r"measure gone: the fresh process ended with code 1: .*gone\.onnx"):
        summarize_in_fresh_process(request_for(tmp_path / "gone.onnx", tmp_path), Quiet(), "measure gone")
