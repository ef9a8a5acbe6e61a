"""The verdict of `nastool check` on a run's export is kept in the run, and shown by `report` and `runs`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Nastool = Callable[..., Any]
CHECK = Path("runs/r/export/check.json")


def kept(job: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((job.folder / CHECK).read_text())
    return content


def shown(job: Any, nastool: Nastool) -> tuple[Any, str, str, str | None]:
    """The verdict in the document, the page, the model card, and the list of runs."""
    answer = nastool("report", "r", "--json", cwd=job.folder)
    assert answer.code == 0, answer
    (budget,) = answer.json["budgets"]
    assert nastool("report", "r", cwd=job.folder).code == 0
    assert nastool("report", "r", "--format", "md", cwd=job.folder).code == 0
    (run,) = nastool("runs", "list", "--json", cwd=job.folder).json["runs"]
    texts = [(job.folder / "runs/r" / name).read_text() for name in ("report.html", "model_card.md")]
    return budget["check"], *texts, run["budgets"][0]["check"]


def test_the_verdict_is_that_of_the_answer(finished_job: Any) -> None:
    answer, content = finished_job.answers["check"].json, kept(finished_job)
    fields = ("verdict", "measured_latency_ms", "latency_interval_ms", "limit_ms", "confidence", "findings", "target")
    assert {name: content[name] for name in fields} == {name: answer[name] for name in fields}
    exported = finished_job.answers["export"].json["files"]["model.onnx"]
    assert (content["file"], content["sha256"]) == ("model.onnx", exported["sha256"])
    assert content["checked_at"].endswith("Z")


def test_a_passed_check_is_shown(job: Any, nastool: Nastool) -> None:
    check, page, card, listed = shown(job, nastool)
    assert check == kept(job)
    assert "<b>Check passed</b>: <data" in page
    digits = 3 if check["measured_latency_ms"] >= 0.1 else 4
    assert f"**Check passed**: {check['measured_latency_ms']:.{digits}f} ms measured (" in card
    assert listed == "pass"
    assert "passed" in nastool("runs", cwd=job.folder).stdout


@pytest.mark.long
def test_a_failed_check_is_kept_and_shown(job: Any, nastool: Nastool) -> None:
    answer = nastool("check", "--latency", "1us", cwd=job.folder)
    assert answer.code == 1
    assert "Next:" not in answer.stderr
    check, page, card, listed = shown(job, nastool)
    assert (check["verdict"], check["limit_ms"], listed) == ("fail", 0.001, "fail")
    assert "<b>Check failed</b>" in page
    assert "over the budget: " in page
    assert "**Check failed**" in card
    assert nastool("report", "r", "--verify", cwd=job.folder).code == 0


@pytest.mark.long
@pytest.mark.parametrize(
    "words", [("runs/r/export/model.onnx", "--latency", "1s"), ("--latency", "1s", "--batch", "2")]
)
def test_another_file_or_target_changes_nothing(words: tuple[str, ...], job: Any, nastool: Nastool) -> None:
    before = (job.folder / CHECK).read_bytes()
    answer = nastool("check", *words, cwd=job.folder)
    assert answer.code == 0, answer
    assert (job.folder / CHECK).read_bytes() == before
    assert "Next:" not in answer.stderr
    said = "the verdict is not kept in the run: the export is for another target: batch: 2 here, 8 there"
    assert (said in " ".join(answer.stderr.split())) is ("--batch" in words)


@pytest.mark.long
def test_an_export_that_was_not_checked_says_so(job: Any, nastool: Nastool) -> None:
    """The network is exported again, or the verdict is on another file."""
    for change in (_of_another_file, _exported_again):
        change(job, nastool)
        check, page, card, listed = shown(job, nastool)
        assert (check, listed) == (None, None), change
        assert "<b>Not checked yet</b>" in page
        assert "**Not checked yet**" in card
        assert "nastool check --run r" in page


def _of_another_file(job: Any, nastool: Nastool) -> None:
    (job.folder / CHECK).write_text(json.dumps(kept(job) | {"sha256": "0" * 64}))


def _exported_again(job: Any, nastool: Nastool) -> None:
    assert nastool("export", cwd=job.folder).code == 0
    assert not (job.folder / CHECK).exists()


@pytest.mark.long
@pytest.mark.parametrize("content", [b"{", b'{"verdict": "perhaps"}', b""])
def test_a_damaged_verdict_is_named(content: bytes, job: Any, nastool: Nastool) -> None:
    (job.folder / CHECK).write_bytes(content)
    for words in (("report", "r"), ("report", "r", "--json"), ("report", "r", "--verify")):
        answer = nastool(*words, cwd=job.folder)
        assert (answer.code, answer.stdout) == (2, "")
        text = " ".join(answer.stderr.split())
        assert f"{CHECK} is damaged: " in text
        assert "Remove it, or run nastool check again" in text
    assert f"warning: r: {CHECK} is damaged" in nastool("runs", cwd=job.folder).stderr.replace("\n", " ")
    assert nastool("check", cwd=job.folder).code == 0, "the remedy works"
    assert nastool("report", "r", cwd=job.folder).code == 0


def test_a_run_that_cannot_be_written_still_has_an_answer(job: Any, nastool: Nastool) -> None:
    (job.folder / CHECK).unlink()
    (job.folder / CHECK).with_suffix(".json.tmp").mkdir()  # what a write would go through; root may write everywhere
    answer = nastool("check", cwd=job.folder)
    assert answer.code == 0
    assert "check passed" in answer.stdout
    assert "the verdict is not kept in the run: cannot write" in " ".join(answer.stderr.split())
    shutil.rmtree((job.folder / CHECK).with_suffix(".json.tmp"))
