"""A search for a device that is not here: no winner is measured, and every file and answer says estimate."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

TITAN = ("--device", "titanxp", "--estimate")


def test_a_winner_by_estimate_is_called_one(finished_job: Any, nastool: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "job"
    shutil.copytree(finished_job.folder, folder)
    refused = nastool("search", *TITAN, "--latency", "100ms", cwd=folder)
    assert refused.code == 2
    assert "was not measured on NVIDIA TITAN Xp" in refused.stderr  # the CPU's rows are never taken instead
    assert nastool("profile", *TITAN, cwd=folder).code == 0
    found = nastool("search", *TITAN, "--latency", "100ms", "--json", cwd=folder)
    assert found.code == 0, found.stderr
    assert "ESTIMATE: no winner is measured: NVIDIA TITAN Xp is not here" in found.stderr
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
    # the file is real all the same, and can be checked where something can be measured
    assert nastool("check", "runs/r/export/model.onnx", "--latency", "100ms", cwd=folder).code == 0
    assert nastool("search", "--macs", "31k", "--json", cwd=folder).json["estimate"] is False
