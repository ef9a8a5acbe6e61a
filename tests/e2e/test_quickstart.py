"""All stages in one command, with a smaller preset on the device whose latency is known."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.config import reading
from toolchain.measuring import target
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

    small = settings.replace("[profile]", '[profile]\nbackend = "fake"').replace("epochs = 1,", "epochs = 0.1,")
    small = small.replace("[search]", "[search]\nfinalists = 0")
    monkeypatch.setattr(reading, "preset_text", lambda _: small)
    monkeypatch.setattr(target, "ready_target", counted)
    answer = nastool("quickstart", "--data", "digits", "--json", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert len(resolved) == 1
    result = answer.json
    assert set(result) == {
        "schema_version", "architecture", "macs", "params", "latency_ms", "holdout_accuracy", "measured_latency_ms",
        "limit_ms", "verdict", "test_accuracy", "test_images", "test_accuracy_interval", "holdout_images",
        "holdout_accuracy_interval", "parity", "data", "device", "onnx", "report", "folder",
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


def test_the_whole_job_ships_two_budgets(settings: str, nastool: Callable[..., Any], tmp_path: Path) -> None:
    """`nastool run` with two limits; the same command again repeats no training."""
    (tmp_path / "nastool.toml").write_text(settings.replace("[profile]", '[profile]\nbackend = "fake"'))
    command = ("run", "--macs", "28k", "--macs", "40k", "--latency", "1s", "--json")
    answer = nastool(*command, cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    first, second = answer.json["shipped"]
    assert first["budget"] == "latency_1000ms+macs_28k"
    for shipped in (first, second):
        assert shipped["verdict"] == "pass"
        assert shipped["onnx"] == f"runs/r/export/{shipped['budget']}/model.onnx"
        assert (tmp_path / shipped["onnx"]).exists()
    assert "9 of 9: check of budget 2" in answer.stderr
    results = [path.stat().st_mtime_ns for path in (tmp_path / "runs/r/retrain").glob("*/best.pt")]
    again = nastool(*command, cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert [path.stat().st_mtime_ns for path in (tmp_path / "runs/r/retrain").glob("*/best.pt")] == results
