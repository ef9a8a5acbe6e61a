"""The lines `Next: nastool ...` that the commands of the main job print."""

import re
import shlex
import shutil
from collections.abc import Callable
from typing import Any

import pytest

Nastool = Callable[..., Any]


def _hint(answer: Any) -> list[str]:
    (hint,) = re.findall(r"^Next: nastool (.*)$", answer.stderr, re.MULTILINE)
    return shlex.split(hint)


def test_next_command_has_the_flags_that_it_needs(job: Any, nastool: Nastool) -> None:
    shutil.move(job.folder / "nastool.toml", job.folder / "my settings.toml")
    flags = ("--latency", "100ms", "--macs", "31k", "--config", "my settings.toml", "--data", "digits")
    answer = nastool("search", *flags, cwd=job.folder)
    assert "Next: nastool retrain --config 'my settings.toml'\n" in answer.stderr


def test_train_succeeds_if_the_table_has_only_another_target(job: Any, nastool: Nastool) -> None:
    """The hint suggests a limit on MACs; the records are of batch 8, the target is batch 7."""
    settings = job.folder / "nastool.toml"
    settings.write_text(settings.read_text().replace("batch = 8", "batch = 7"))
    answer = nastool("train", cwd=job.folder)
    assert answer.code == 0, answer.stderr
    assert "Next: nastool search --macs 35.4k\n" in answer.stderr


@pytest.mark.long
def test_two_budgets_ship_by_following_the_printed_hints(job: Any, nastool: Nastool) -> None:
    """The export of the first budget stays, and each check reads the file of its budget."""
    first = (job.folder / "runs/r/export/model.onnx").read_bytes()
    searched = nastool("search", "--run", "r", "--latency", "200ms", "--macs", "27k", cwd=job.folder)
    assert _hint(searched) == ["retrain", "--budget", "latency_200ms+macs_27k"]
    retrained = nastool(*_hint(searched), cwd=job.folder)
    exported = nastool(*_hint(retrained), cwd=job.folder)
    assert _hint(exported) == ["check", "--budget", "latency_200ms+macs_27k"]
    checked = nastool(*_hint(exported), "--json", cwd=job.folder)
    assert checked.code == 0, checked.stderr
    assert checked.json["file"] == "runs/r/export/latency_200ms+macs_27k/model.onnx"
    assert checked.json["limit_ms"] == 200
    assert (job.folder / "runs/r/export/model.onnx").read_bytes() == first
    replaced = nastool("export", "--out", "runs/r/export", "--budget", "latency_200ms+macs_27k", cwd=job.folder)
    assert replaced.code == 0, replaced.stderr
    assert "holds another export" in replaced.stderr
    shutil.rmtree(job.folder / "runs/r/export/latency_200ms+macs_27k")
    missing = nastool("check", "--budget", "latency_200ms+macs_27k", cwd=job.folder)
    assert missing.code == 2
    assert "Run nastool export --budget latency_200ms+macs_27k first" in missing.stderr


@pytest.mark.long
def test_printed_hint_exports_the_winner_of_the_chosen_budget(job: Any, nastool: Nastool) -> None:
    """`retrain --budget X` prints an export command for X, although another budget was searched last."""
    searched = nastool("search", "--macs", "27k", "--macs", "36k", "--json", cwd=job.folder)
    name, winner = next(iter(searched.json["winners"].items()))
    last = searched.json["winners"][next(reversed(searched.json["winners"]))]
    assert winner["architecture"] != last["architecture"]
    retrained = nastool("retrain", "--budget", name, cwd=job.folder)
    (hint,) = re.findall(r"^Next: nastool (.*)$", retrained.stderr, re.MULTILINE)
    exported = nastool(*shlex.split(hint), "--json", cwd=job.folder)
    assert exported.code == 0, exported.stderr
    assert exported.json["architecture"] == winner["architecture"]
