"""`nastool doctor` names everything that this machine could have, and what it takes for the rest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import commands
from exporters import backends
from exporters.cuda import memory, nvml
from toolchain.machine.doctor import examine

NEXT_STEPS = ("Run ", "Use ", "Give ", "Put ", "Install ", "Name ")


@pytest.fixture(scope="module")
def findings(nastool: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    answer = nastool("doctor", "--json", cwd=tmp_path_factory.mktemp("doctor"))
    assert answer.code == 0
    return {finding["what"]: finding for finding in answer.json["findings"]}


def test_names_every_backend(findings: dict[str, dict[str, Any]]) -> None:
    assert {f"backend {name}" for name in backends.names()} <= findings.keys()
    assert findings["backend onnxruntime"]["works"]
    assert {"device cpu", "data digits", "training on a GPU", "installation"} <= findings.keys()


def test_what_does_not_work_has_a_reason_and_a_remedy(findings: dict[str, dict[str, Any]]) -> None:
    for finding in findings.values():
        assert finding["detail"]
        if not finding["works"]:
            assert any(step in finding["detail"] for step in NEXT_STEPS), finding


def test_a_backend_that_can_not_run_says_why(findings: dict[str, dict[str, Any]]) -> None:
    for name in backends.names():
        reason = backends.load(name).unavailable_reason()
        finding = findings[f"backend {name}"]
        assert finding["works"] == (reason is None)
        assert reason is None or reason in finding["detail"]


def test_tells_of_the_table(nastool: Callable[..., Any], tmp_path: Path) -> None:
    def table(*words: str) -> dict[str, Any]:
        findings = nastool("doctor", *words, "--json", cwd=tmp_path).json["findings"]
        (finding,) = (f for f in findings if f["what"].startswith("latency table"))
        return dict(finding)

    assert table()["detail"] == "nothing measured yet. Run nastool profile"
    assert not (tmp_path / "latency.sqlite").exists(), "looking makes no file"
    (tmp_path / "letter.sqlite").write_text("dear editor")
    wrong = table("--db", "letter.sqlite")
    assert not wrong["works"]
    assert "letter.sqlite is not a latency table" in wrong["detail"]


def test_for_people() -> None:
    """As a table, through typer's own runner."""
    answer = CliRunner().invoke(commands, ["doctor"])
    assert answer.exit_code == 0
    assert "this machine" in answer.output
    assert "backend onnxruntime" in answer.output


def test_a_titan_xp_is_told_which_tensorrt_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titan = nvml.Gpu(0, "NVIDIA TITAN Xp", "GPU-1", "0000:01:00.0", "6.1", "580.65, CUDA 12.9", 12 << 30, 3840)
    monkeypatch.setattr(nvml, "gpus", lambda: (titan,))
    monkeypatch.setattr(memory, "bus_ids", lambda: ("0000:01:00.0",))
    findings = {finding.what: finding for finding in examine(str(tmp_path / "latency.sqlite"))}
    if findings["backend tensorrt"].detail.startswith("tensorrt is not installed"):
        for words in ("pip install tensorrt==8.6.1", "driver 580 or older", "onnxruntime-gpu for CUDA 12"):
            assert words in findings["backend tensorrt"].detail
    assert "NVIDIA TITAN Xp has compute capability 6.1, and tensorrt_rtx" in findings["backend tensorrt_rtx"].detail
    assert "Install TensorRT 8.6 (pip install tensorrt==8.6.1" in findings["backend tensorrt_rtx"].detail


def test_cuda_graphs_are_listed(findings: dict[str, dict[str, Any]]) -> None:
    has_gpu = any(name.startswith("device ") and name != "device cpu" for name in findings)
    assert findings["CUDA graphs"]["works"] == (memory.no_graphs_reason() is None and has_gpu)
