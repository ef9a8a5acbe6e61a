"""Files of a run that are damaged, of other settings, or in use are refused with their name and what to do."""

import fcntl
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

Nastool = Callable[..., Any]
Refused = Callable[..., str]


@pytest.mark.parametrize("kept", [0, 100, 20_000])
@pytest.mark.parametrize("command", ["train", "search --macs 31k"])
def test_truncated_supernet(command: str, kept: int, job: Any, refused: Refused) -> None:
    checkpoint = job.folder / "runs/r/supernet/checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:kept])
    refused(job.folder, command, "runs/r/supernet/checkpoint.pt is damaged", "Remove it")


def test_truncated_winner(job: Any, refused: Refused) -> None:
    (best,) = (job.folder / "runs/r/retrain").glob("*/best.pt")
    best.write_bytes(best.read_bytes()[:1000])
    refused(job.folder, "export", "best.pt is damaged", "Remove it to train again")


def test_checkpoint_with_other_content(job: Any, refused: Refused) -> None:
    shutil.copy(next((job.folder / "runs/r/retrain").glob("*/best.pt")), job.folder / "runs/r/supernet/checkpoint.pt")
    refused(
        job.folder,
        "search --macs 31k",
        "supernet/checkpoint.pt: the field format is missing",
        "Remove it to train again",
    )


def test_checkpoint_of_another_space(job: Any, refused: Refused) -> None:
    """A space with the same name and other blocks, as after an update of nastool, has another digest."""
    for toml in (job.folder / "nastool.toml", job.folder / "runs/r/config.toml"):
        toml.write_text(toml.read_text().replace("stage_widths=16-24", "stage_widths=16-26"))
    refused(job.folder, "train", "supernet/checkpoint.pt was made with other settings", "space was")
    refused(job.folder, "search --macs 50k", "supernet/checkpoint.pt was made with other", "space was")
    refused(job.folder, "export", "best.json is a winner of the space", "stage_widths=16-24", "Give its --space")


REMEDIES = {
    "search": "Remove it and run nastool search",
    "retrain": "Remove it and run nastool retrain",
    "export": "Run nastool export again",
}


@pytest.mark.parametrize("file", ["search/best.json", "retrain/*/result.json", "export/manifest.json"])
def test_damaged_result_of_an_earlier_command(file: str, job: Any, refused: Refused) -> None:
    (path,) = (job.folder / "runs/r").glob(file)
    path.write_text(path.read_text()[:20])
    command = {"search": "retrain", "retrain": "export", "export": "check"}[file.split("/")[0]]
    refused(job.folder, command, f"{path.name} is damaged", REMEDIES[file.split("/")[0]])


@pytest.mark.parametrize("file", ["candidates.jsonl", "measured.jsonl"])
def test_damaged_journal_line(file: str, job: Any, refused: Refused) -> None:
    journal = job.folder / "runs/r/search" / file
    lines = journal.read_bytes().splitlines(keepends=True)
    lines.insert(1, b'{"architecture": ["choi\n')
    journal.write_bytes(b"".join(lines))
    refused(job.folder, "search --macs 31k", f"line 2 of runs/r/search/{file} is damaged", "Fix or remove")


def test_incomplete_last_journal_line_is_ignored(job: Any, nastool: Nastool) -> None:
    """A kill may truncate the last line; that candidate is scored again."""
    journal = job.folder / "runs/r/search/candidates.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-30])
    answer = nastool("search", "--latency", "100ms", "--macs", "31k", "--json", cwd=job.folder)
    assert answer.json == job.answers["search"].json
    assert journal.read_bytes() == whole


def test_journal_of_another_supernet(job: Any, refused: Refused) -> None:
    journal = job.folder / "runs/r/search/candidates.jsonl"
    first, *rest = journal.read_text().splitlines(keepends=True)
    target = json.loads(first)
    target["fingerprint"]["supernet_sha256"] = "0" * 64
    journal.write_text(json.dumps(target) + "\n" + "".join(rest))
    refused(job.folder, "search --macs 31k", "candidates.jsonl was made with other settings", "supernet_sha256")


def test_run_in_use(job: Any, nastool: Nastool, refused: Refused) -> None:
    """A command that writes into a run locks it."""
    with (job.folder / "runs/r/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in ("train", "search --macs 31k", "retrain", "export"):
            refused(job.folder, command, "another nastool command is using runs/r", "Wait until it ends, or use")
    assert nastool("retrain", cwd=job.folder).code == 0
