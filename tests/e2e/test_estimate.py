"""A search for a device that is not attached: no winner is measured, and every file and output says estimate."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long  # whole commands, tens of seconds in all

TITAN = ("--device", "titanxp", "--estimate")


def test_winner_of_an_estimate_is_labeled(finished_job: Any, nastool: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "job"
    shutil.copytree(finished_job.folder, folder)
    refused = nastool("search", *TITAN, "--latency", "100ms", cwd=folder)
    assert refused.code == 2
    assert "was not measured on NVIDIA TITAN Xp" in refused.stderr  # records of the CPU are never used instead
    assert nastool("profile", *TITAN, cwd=folder).code == 0
    search = nastool("search", *TITAN, "--latency", "100ms", "--json", cwd=folder)
    assert search.code == 0, search.stderr
    assert "ESTIMATE: no winner is measured: NVIDIA TITAN Xp is not attached" in search.stderr
    best = json.loads((folder / "runs/r/search/best.json").read_text())
    assert (best["estimate"], best["measured_latency_ms"], best["passed_over"]) == (True, None, [])
    assert 0 < best["latency_ms"] < 100
    assert best["conventions"]["latency_ms"].startswith("estimate, not measured")
    shown = nastool("search", *TITAN, "--latency", "100ms", cwd=folder).stdout
    assert "latency, estimate" in shown
    assert "latency, predicted" not in shown
    exported = nastool(
        "export", *TITAN, "--arch", " ".join(finished_job.answers["export"].json["architecture"]), cwd=folder
    )
    assert exported.code == 0, exported.stderr
    assert "latency, estimate" in exported.stdout
    manifest = json.loads((folder / "runs/r/export/manifest.json").read_text())
    assert (manifest["estimate"], manifest["measured_latency_ms"]) == (True, None)
    assert manifest["target"]["device_kind"] == "estimate"
    # the file is real and can be checked on an attached device
    assert nastool("check", "runs/r/export/model.onnx", "--latency", "100ms", cwd=folder).code == 0
    # the run keeps the target of its last search until another device is typed
    assert nastool("search", "--macs", "31k", "--json", cwd=folder).json["estimate"] is True
    assert nastool("search", "--device", "cpu", "--macs", "31k", "--json", cwd=folder).json["estimate"] is False
