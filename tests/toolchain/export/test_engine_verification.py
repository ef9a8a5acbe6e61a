"""Engines are verified and timed on their own device: the backend fake has one here, GPUs are not here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exporters.backends.fake import Backend, latency_ms
from exporters.backends.tensorrt import Backend as TensorRT
from exporters.devices.attached import Device
from exporters.errors import BackendUnavailable, ParityFailed
from exporters.graph.to_onnx import export_onnx
from toolchain.errors import BadConfig, CheckFailed
from toolchain.export.engine_verification import verify_engines
from toolchain.export.engines import EngineTarget, build_engines, engine_batches, engine_targets
from toolchain.export.latency import Timer
from toolchain.export.manifest import EngineRecord
from toolchain.export.precisions import ExportedFile
from toolchain.export.verification import Reference, holdout_images
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.target import ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Quiet
from toolchain.search.winner import SelectedArchitecture
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Data, load_data

BATCH = 8


class Said(Quiet):
    """Keeps the lines that stay on the screen."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def data(tiny_space: SearchSpace) -> Data:
    return load_data("digits", tiny_space, 5, 0)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def exported(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> ExportedFile:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export_onnx(net, torch.zeros(2, 1, 16, 16), path)
    return ExportedFile(path, "fp32", "fp32")


@pytest.fixture
def timer(tmp_path: Path) -> Timer:
    ready = ready_target(TargetSpec(backend="fake", batch=BATCH))
    return Timer(ready, MeasurementPlan(2, 1.0, 0.0), str(tmp_path / "latency.sqlite"), Quiet())


@pytest.fixture
def reference(net: Any, data: Data, timer: Timer) -> Reference:
    images = holdout_images(data)
    with torch.no_grad():
        predicted = net(torch.from_numpy(images)).argmax(1).numpy()
    accuracy = float((predicted == np.asarray(data.train.labels)[list(data.holdout)]).mean())
    return Reference(net, accuracy, data, images, timer.target.backend, 1, None)


def chosen(limit_ms: float | None = None, target: str | None = None) -> SelectedArchitecture:
    limits = {} if limit_ms is None else {"latency_ms": limit_ms}
    return SelectedArchitecture(Architecture("tiny", ()), limits, target=target)


def built(exported: ExportedFile, folder: Path, slowdown: float = 0.0, **batches: Any) -> dict[Path, EngineRecord]:
    sizes = batches.get("batches", (BATCH, BATCH, BATCH))
    return build_engines([exported], [EngineTarget("current", Backend(slowdown=slowdown))], sizes, folder)


@pytest.mark.parametrize("batches", [(8, 8, 8), (1, 8, 16)])
def test_an_engine_is_compared_and_timed_beside_its_file(
    batches: tuple[int, int, int], exported: ExportedFile, reference: Reference, timer: Timer, tmp_path: Path
) -> None:
    records = built(exported, tmp_path, slowdown=0.1, batches=batches)
    (record,) = verify_engines(records, [exported], reference, chosen(), timer).values()
    assert record.not_verified == ""
    assert record.parity is not None
    assert record.parity.batches == tuple(dict.fromkeys(batches))
    assert (record.parity.top1_agreement, record.holdout_accuracy) == (1.0, reference.holdout_accuracy)
    expected_ms = latency_ms(exported.file, BATCH)
    assert record.onnx_latency_ms == pytest.approx(expected_ms)
    assert record.measured_latency_ms == pytest.approx(expected_ms * 1.1)


def test_an_engine_that_computes_something_else_is_refused(
    net: Any, exported: ExportedFile, reference: Reference, timer: Timer, tmp_path: Path
) -> None:
    records = built(exported, tmp_path)
    other = nn.Sequential(*net[:-1], nn.Linear(16, 10)).eval()
    with pytest.raises(ParityFailed, match=r"the exported model.current.engine does not compute what the network does"):
        verify_engines(records, [exported], replace(reference, net=other), chosen(), timer)


@pytest.mark.long
def test_the_limit_holds_for_the_engine_of_its_target(
    exported: ExportedFile, reference: Reference, timer: Timer, tmp_path: Path
) -> None:
    records, limit_ms, said = built(exported, tmp_path, slowdown=0.1), latency_ms(exported.file, BATCH) * 1.05, Said()
    own = timer.target.target.id
    with pytest.raises(CheckFailed, match=r"over the budget by 4\.8%"):
        verify_engines(records, [exported], reference, chosen(limit_ms, own), replace(timer, progress=said))
    assert said.lines == ["measure model.current.engine again in a fresh process"] * 2
    (record,) = verify_engines(records, [exported], reference, chosen(limit_ms, "another"), timer).values()
    assert record.not_verified == ""
    records = built(exported, tmp_path)
    (record,) = verify_engines(records, [exported], reference, chosen(limit_ms, own), timer).values()
    assert record.measured_latency_ms is not None
    assert record.measured_latency_ms < limit_ms


def test_an_engine_for_a_gpu_that_is_not_here(
    exported: ExportedFile, reference: Reference, timer: Timer, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    records = build_engines([exported], engine_targets(["86"], False), (BATCH,) * 3, tmp_path)
    (record,) = verify_engines(records, [exported], reference, chosen(), timer).values()
    if record.not_verified:
        assert record.not_verified == "no GPU of compute capability 8.6"
        assert (record.parity, record.measured_latency_ms, record.onnx_latency_ms) == (None, None, None)


def test_the_backend_of_the_target_builds(timer: Timer) -> None:
    (target,) = engine_targets((), True, timer.target)
    assert target.builder is timer.target.backend


@pytest.mark.parametrize(
    ("capabilities", "remedy"),
    [((), "Or name a GPU, as --sm 86"), (("86", "89"), "Or leave out --engine: --sm 86,89 needs no GPU")],
)
def test_a_machine_that_cannot_build(
    capabilities: tuple[str, ...], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        TensorRT, "build_unavailable_reason", lambda self: "it is missing" if self.name == "tensorrt" else None
    )
    with pytest.raises(BackendUnavailable, match=rf"^no engine can be built here: it is missing\. {remedy}$"):
        engine_targets(capabilities, True)


def test_the_error_names_a_remote_device_that_cannot_build(timer: Timer, monkeypatch: pytest.MonkeyPatch) -> None:
    anything: Any = object()  # nothing is called on it before the refusal
    device = Device("ssh://pi@board", "cpu", "Board", 4, remote=anything)
    monkeypatch.setattr(Backend, "build_unavailable_reason", lambda self: "it is missing")
    with pytest.raises(BackendUnavailable, match=r"^no engine can be built on ssh://pi@board: it is missing"):
        engine_targets((), True, replace(timer.target, device=device))


@pytest.mark.parametrize(
    ("text", "batches"), [(None, (8, 8, 8)), ("1..32", (1, 8, 32)), ("8..8", (8, 8, 8)), ("4..8", (4, 8, 8))]
)
def test_batches_of_engines(text: str | None, batches: tuple[int, int, int]) -> None:
    assert engine_batches(text, 8) == batches


@pytest.mark.parametrize("text", ["", "32", "1-32", "0..8", "9..1", "a..b", "1..2000000"])
def test_what_is_no_range_of_batches(text: str) -> None:
    with pytest.raises(BadConfig, match=r"is not a range. Write the least and the most images of a batch, as 1\.\.32"):
        engine_batches(text, 8)


def test_a_range_must_include_the_batch_that_is_timed() -> None:
    with pytest.raises(BadConfig, match=r"--batches 16\.\.32 does not include 8, the batch that engines are tuned for"):
        engine_batches("16..32", 8)
