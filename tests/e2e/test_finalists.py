"""A search with finalists through the command: what it reports, and the same trainings after a kill."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolchain.search.scores import pack

pytestmark = pytest.mark.long  # whole commands

SEARCH = ("search", "--macs", "31k", "--finalists", "3", "--finalist-epochs", "0.5")
PATIENCE_S = 600
PERFECT = pack(np.ones(200, dtype=bool))  # all hold-out images of digits correct: 20 of each of 10 classes


@pytest.fixture(scope="module")
def trained(settings: str, nastool: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a supernet; checkpoints of retraining are written after every step."""
    folder = tmp_path_factory.mktemp("trained")
    changed = settings.replace("[profile]", '[profile]\nbackend = "fake"')
    changed = changed.replace("[retrain]", "[retrain]\ncheckpoint_every_s = 0.0")
    (folder / "nastool.toml").write_text(changed)
    answer = nastool("train", cwd=folder)
    assert answer.code == 0, answer.stderr
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cli.main", *SEARCH]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(folder: Path) -> None:
    process = start(folder)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr.decode()


def trainings_of(folder: Path) -> list[tuple[object, ...]]:
    """Architecture, repeat and flags of each training of a finalist."""
    journals = (folder / "runs/r/search/finalists").glob("*/trainings.jsonl")
    lines = [json.loads(line) for journal in journals for line in journal.read_text().splitlines()[1:]]
    return [(line["architecture"], line["repeat"], line["correct"]) for line in lines]


@pytest.fixture(scope="module")
def whole(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder after a search that nobody killed."""
    folder = tmp_path_factory.mktemp("whole") / "job"
    shutil.copytree(trained, folder)
    finish(folder)
    return folder


def test_winner_is_one_of_the_finalists(whole: Path) -> None:
    best = json.loads((whole / "runs/r/search/best.json").read_text())
    report = best["finalists"]
    outcomes = {tuple(finalist["architecture"]): finalist["outcome"] for finalist in report["finalists"]}
    assert len(outcomes) == 3
    assert outcomes[tuple(best["architecture"])] == "winner"
    assert all(finalist["macs"] <= 31_000 for finalist in report["finalists"])
    assert {finalist["strategy"] for finalist in report["finalists"]} == {"evolution", "simple"}
    assert report["statement"]
    assert sum(finalist["trainings"] for finalist in report["finalists"]) == len(trainings_of(whole))


def test_same_trainings_after_a_kill(trained: Path, whole: Path, tmp_path: Path) -> None:
    """Killed while the third training has written a checkpoint."""
    folder = tmp_path / "killed"
    shutil.copytree(trained, folder)
    process = start(folder)
    deadline = time.monotonic() + PATIENCE_S

    def in_training() -> bool:
        checkpoints = (folder / "runs/r/search/finalists").glob("*/repeat_*/retrain/*/checkpoint.pt")
        return len(trainings_of(folder)) >= 2 and any(checkpoints)

    while not in_training() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, "the search ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(trainings_of(folder)) < len(trainings_of(whole))
    finish(folder)
    assert trainings_of(folder) == trainings_of(whole)


def test_one_network_in_the_budget_is_not_trained(trained: Path, nastool: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "job"
    shutil.copytree(trained, folder)
    answer = nastool("search", "--macs", "26k", "--finalists", "3", "--json", cwd=folder)  # the least of the space
    assert answer.code == 0, answer.stderr
    assert "so there are no finalists to train" in answer.stderr
    assert answer.json["macs"] == 26_000
    assert not answer.json.get("finalists")
    assert trainings_of(folder) == []


def test_a_later_search_is_never_worse_than_a_finalist_of_the_journal(
    whole: Path, nastool: Callable[..., Any], tmp_path: Path
) -> None:
    """The winner of an earlier search of the budget takes part, although the later search would not train it."""
    folder = tmp_path / "job"
    shutil.copytree(whole, folder)
    best = folder / "runs/r/search/macs_31k/best.json"
    earlier = json.loads(best.read_text())
    ours = {tuple(finalist["architecture"]) for finalist in earlier["finalists"]["finalists"]}
    scored = [json.loads(line) for line in (folder / "runs/r/search/candidates.jsonl").read_text().splitlines()[1:]]
    lowest = min((line for line in scored if line["strategy"] == "evolution"), key=lambda line: line["accuracy"])
    winner = lowest["architecture"]
    assert tuple(winner) not in ours
    best.write_text(json.dumps(earlier | {"architecture": winner}))
    (journal,) = (folder / "runs/r/search/finalists").glob("*/trainings.jsonl")
    with journal.open("a") as file:  # every image correct after each of six trainings
        for repeat in range(6):
            file.write(json.dumps({"architecture": winner, "repeat": repeat, "correct": PERFECT, "seconds": 1}))
            file.write("\n")
    words = ("search", "--macs", "31k", "--finalists", "2", "--finalist-epochs", "0.5", "--json")
    later = nastool(*words, cwd=folder)
    assert later.code == 0, later.stderr
    assert later.json["architecture"] == winner
    finalists = later.json["finalists"]["finalists"]
    assert [finalist["strategy"] for finalist in finalists].count("earlier") == 1
    assert len(finalists) == 3
    trained = trainings_of(folder)
    again = nastool(*words, cwd=folder)
    assert again.json == later.json, "typed again, the same finalists take part"
    assert trainings_of(folder) == trained
