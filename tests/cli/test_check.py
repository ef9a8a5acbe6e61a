"""`nastool check` as CI meets it: exit codes, JUnit XML, annotations, the job's summary."""

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import torch
from torch import nn

from exporters.backends.fake import Backend
from exporters.graph.to_onnx import export_onnx
from toolchain.check import gate
from toolchain.check.measure import Request, request_files
from toolchain.check.verdict import Judgment
from toolchain.progress import Progress

Nastool = Callable[..., Any]
FAKE = ("--backend", "fake", "--batch", "8")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """quick.onnx, and slow.onnx with twice the layers."""
    folder = tmp_path_factory.mktemp("files")
    for name, layers in (("quick", 2), ("slow", 4)):
        net = nn.Sequential(nn.Conv2d(1, 8, 1), *[nn.Conv2d(8, 8, 3) for _ in range(layers)], nn.Flatten())
        export_onnx(net, torch.zeros(2, 1, 16, 16), folder / f"{name}.onnx")
    return folder


@pytest.fixture(autouse=True)
def confirmed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process takes seconds to start; tests/toolchain/check has one."""

    def measure(request: Request, progress: Progress, title: str) -> Judgment:
        return gate.measure_in_process(request, request_files(request), progress, title)

    monkeypatch.setattr(gate, "measure_in_fresh_process", measure)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def stored(files: Path, nastool: Nastool, tmp_path: Path) -> Path:
    answer = nastool("check", "quick.onnx", *FAKE, "--latency", "1s", "--json", cwd=files)
    assert answer.code == 0
    path = tmp_path / "baseline.json"
    path.write_text(answer.stdout)
    return path


def test_an_answer_is_a_baseline(files: Path, stored: Path, nastool: Nastool) -> None:
    assert nastool("check", "quick.onnx", *FAKE, "--baseline", stored, cwd=files).code == 0
    answer = nastool("check", "slow.onnx", *FAKE, "--baseline", stored, cwd=files)
    assert answer.code == 1
    assert "slower than the baseline by" in answer.stderr
    assert "check failed" in answer.stdout


def test_another_build_is_a_baseline(files: Path, nastool: Nastool) -> None:
    assert nastool("check", "quick.onnx", *FAKE, "--baseline", "slow.onnx", cwd=files).code == 0
    assert nastool("check", "slow.onnx", *FAKE, "--baseline", "quick.onnx", cwd=files).code == 1


def test_over_the_budget(files: Path, nastool: Nastool, tmp_path: Path) -> None:
    answer = nastool("check", "slow.onnx", *FAKE, "--latency", "1us", "--junit", tmp_path / "junit.xml", cwd=files)
    assert answer.code == 1
    ((case,),) = Xml.parse(tmp_path / "junit.xml").getroot()
    assert (case.attrib["classname"], case.attrib["name"]) == ("slow.onnx", "budget")
    assert case[0].tag == "failure"
    assert case[0].attrib["message"] in answer.stderr


@pytest.mark.parametrize(("on_inconclusive", "code"), [("fail", 3), ("warn", 0), ("pass", 0)])
def test_no_answer_in_time(on_inconclusive: str, code: int, files: Path, nastool: Nastool) -> None:
    hurry = ("--max-seconds", "0.0001", "--on-inconclusive", on_inconclusive)
    answer = nastool("check", "quick.onnx", *FAKE, "--latency", "1s", *hurry, "--json", cwd=files)
    assert answer.code == code
    assert (answer.json["verdict"], answer.json["passed"]) == ("inconclusive", False)
    assert answer.json["latency_interval_ms"] == [None, None]
    assert "inconclusive whether it is over the budget" in answer.stderr
    assert "error:" not in answer.stderr


def test_a_baseline_of_another_stack(files: Path, stored: Path, nastool: Nastool, tmp_path: Path) -> None:
    flags = ("--baseline", stored, "--junit", tmp_path / "junit.xml")
    answer = nastool("check", "quick.onnx", "--backend", "fake", "--batch", "16", *flags, cwd=files)
    assert answer.code == 4
    assert answer.stdout == ""
    assert "another target: batch: 16 here, 8 there" in answer.stderr
    assert Xml.parse(tmp_path / "junit.xml").find(".//error") is not None


def test_a_missing_device_is_skipped(
    files: Path, nastool: Nastool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backend, "unavailable_reason", lambda self: "it is at the repair shop")
    answer = nastool(
        "check", "quick.onnx", *FAKE, "--latency", "1s", "--junit", tmp_path / "new" / "junit.xml", cwd=files
    )
    assert answer.code == 5
    skipped = Xml.parse(tmp_path / "new" / "junit.xml").find(".//skipped")
    assert skipped is not None
    assert "at the repair shop" in skipped.attrib["message"]


REFUSED = {
    "nothing to check against": ((), "nothing to check against"),
    "percentage without its sign": (("--latency", "1s", "--max-regression", "5"), "Write it as in --max-regression 5%"),
    "confidence without its sign": (("--latency", "1s", "--confidence", "99"), "Write it as in 99%"),
    "confidence of zero": (("--latency", "1s", "--confidence", "0%"), "Write it as in 99%"),
    "confidence of certainty": (("--latency", "1s", "--confidence", "100%"), "Give one from 50% to 99.99%"),
    "no time": (("--latency", "1s", "--max-seconds", "0"), "--max-seconds"),
    "unknown word": (("--latency", "1s", "--on-inconclusive", "shrug"), "--on-inconclusive"),
    "baseline that is not there": (("--baseline", "old.onnx"), "old.onnx does not exist"),
    "baseline that is no JSON": (("--baseline", "text.json"), "text.json is not a baseline"),
    "baseline that is no ONNX": (("--baseline", "text.onnx"), "text.onnx is not a valid ONNX file"),
    "junit in a folder": (("--latency", "1s", "--junit", "folder"), "folder is a folder"),
    "junit below a file": (("--latency", "1s", "--junit", "text.json/x.xml"), "cannot write text.json/x.xml"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_refused(mistake: str, files: Path, nastool: Nastool) -> None:
    (files / "folder").mkdir(exist_ok=True)
    (files / "text.json").write_text("hello")
    (files / "text.onnx").write_text("hello")
    flags, expected = REFUSED[mistake]
    answer = nastool("check", "quick.onnx", *FAKE, *flags, cwd=files)
    assert (answer.code, answer.stdout) == (2, "")
    assert expected in " ".join(answer.stderr.split())
    assert "measure" not in answer.stderr, "it is refused before work starts"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="ONNX Runtime has fp16 kernels for other CPUs")
@pytest.mark.parametrize("words", ["half.onnx --latency 1s", "quick.onnx --baseline half.onnx"])
def test_a_precision_that_is_not_computed_here(words: str, files: Path, nastool: Nastool, tmp_path: Path) -> None:
    """A check has no --precision, so none is offered."""
    (tmp_path / "quick.onnx").write_bytes((files / "quick.onnx").read_bytes())
    net = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Flatten())
    export_onnx(net, torch.zeros(2, 1, 16, 16), tmp_path / "half.onnx", precision="fp16")
    answer = nastool("check", *words.split(), "--backend", "onnxruntime", cwd=tmp_path)
    assert (answer.code, answer.stdout) == (5, "")
    shown = " ".join(answer.stderr.split())
    assert "half.onnx cannot be timed on cpu" in shown
    assert "--precision" not in shown
    assert "on a GPU (--device gpu0)" in shown


def test_a_file_that_is_none(files: Path, nastool: Nastool) -> None:
    (files / "text.onnx").write_text("hello")
    for name, expected in (
        ("none.onnx", "none.onnx does not exist"),
        ("text.onnx", "text.onnx is not a valid ONNX file"),
    ):
        answer = nastool("check", name, *FAKE, "--latency", "1s", cwd=files)
        assert answer.code == 2
        assert expected in answer.stderr


def test_in_a_job_of_github(
    files: Path, stored: Path, nastool: Nastool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert nastool("check", "quick.onnx", *FAKE, "--baseline", stored, cwd=files).code == 0
    answer = nastool("check", "slow.onnx", *FAKE, "--baseline", stored, "--json", cwd=files)
    (line,) = [line for line in answer.stderr.splitlines() if line.startswith("::")]
    assert line.startswith("::error title=nastool check (regression)::slower than the baseline by ")
    assert json.loads(answer.stdout)["verdict"] == "fail"
    assert [text for text in summary.read_text().splitlines() if text.startswith("#")] == [
        "### nastool check: pass",
        "### nastool check: fail",
    ]
    assert nastool("check", "none.onnx", *FAKE, "--latency", "1s", cwd=files).code == 2
    assert "none.onnx does not exist" in summary.read_text()


def test_a_summary_that_can_not_be_written_is_no_failure(
    files: Path, nastool: Nastool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "nowhere/summary.md")
    answer = nastool("check", "quick.onnx", *FAKE, "--latency", "1s", cwd=files)
    assert answer.code == 0
    assert "cannot write the job's summary to nowhere/summary.md" in answer.stderr
