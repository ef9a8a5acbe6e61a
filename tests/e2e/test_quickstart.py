"""All stages in one command, with a smaller preset on the device whose latency is known."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain import config
from toolchain.measuring import from_config
from toolchain.measuring.target import ReadyTarget, ready_target
from toolchain.measuring.target_spec import TargetSpec

pytestmark = pytest.mark.long  # whole commands, tens of seconds in all


def test_quickstart_runs_all_stages_on_one_target(
    settings: str, nastool: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[TargetSpec] = []

    def counted(spec: TargetSpec) -> ReadyTarget:
        resolved.append(spec)
        return ready_target(spec)

    small = settings.replace("[profile]", '[profile]\nbackend = "fake"')
    monkeypatch.setattr(config, "preset_text", lambda _: small)
    monkeypatch.setattr(from_config, "ready_target", counted)
    answer = nastool("quickstart", "--data", "digits", "--json", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert len(resolved) == 1
    result = answer.json
    assert set(result) == {
        "schema_version", "architecture", "macs", "params", "latency_ms", "holdout_accuracy", "measured_latency_ms",
        "limit_ms", "verdict", "test_accuracy", "parity", "data", "device", "onnx", "folder",
    }  # fmt: skip
    assert (result["data"], result["onnx"]) == ("digits", "runs/quickstart/export/model.onnx")
    assert result["verdict"] == "pass"
    assert 0 < result["measured_latency_ms"] <= result["limit_ms"]
    manifest = json.loads((tmp_path / "runs/quickstart/export/manifest.json").read_text())
    assert manifest["architecture"] == result["architecture"]
    assert manifest["test_accuracy"] == result["test_accuracy"]
    again = nastool("quickstart", "--data", "digits", cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert re.search(r"check +│ passed", again.stdout)
    shown = ("architecture", "MACs", "latency, predicted", "budget", "test accuracy", "ONNX file", "all files")
    assert [name for name in shown if name not in again.stdout] == []
