"""`nastool runs`, on run folders written by hand, and `nastool --version`."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.config import Config
from toolchain.files import write_bytes, write_json
from toolchain.runs import Run, open_run
from toolchain.spaces.core import Architecture

Nastool = Callable[..., Any]
ARCH = ["choice_3", "choice_x", "choice_5", "choice_7"]


@pytest.fixture
def folder(tmp_path: Path, tiny_config: Config) -> Path:
    """Two runs: `one` with a retrained and a searched budget, `two` only started."""
    for name in ("one", "two"):
        seed = len(name) + (name == "two")
        config = tiny_config.model_copy(update={"run": name, "runs": tmp_path / "runs", "seed": seed})
        with open_run(config, make=True) as run:
            pass
    best = {"architecture": ARCH, "space": "tiny", "holdout_accuracy": 0.5, "latency_ms": 3.25}
    run = Run(tmp_path / "runs/one")
    write_json(run.budget("latency_3ms") / "best.json", best | {"measured_latency_ms": 2.5})
    write_json(run.budget("macs_1M") / "best.json", best | {"architecture": ARCH[::-1]})
    write_json(run.best, best)
    write_json(
        run.retrain(Architecture("tiny", tuple(ARCH))) / "result.json", {"test_accuracy": 0.75, "test_images": 400}
    )
    for path in [*(tmp_path / "runs/two").rglob("*"), tmp_path / "runs/two"]:
        os.utime(path, (1e9, 1e9))
    return tmp_path


def test_runs_are_listed_with_their_winners(folder: Path, nastool: Nastool) -> None:
    answer = nastool("runs", cwd=folder)
    assert answer.code == 0
    text = " ".join(answer.stdout.replace("│", " ").split())
    one, searched, two = (text.index(words) for words in ("one retrained", "one searched", "two started"))
    assert one < searched < two
    assert all(words in text[one:searched] for words in ("75.00%", "(70.5%", "79.0%)"))
    assert "2.500 ms" in text[one:searched]
    assert "predicted" in text[searched:two]
    assert " d 0.0 MB" in text[two:]


def test_the_json_has_the_same(folder: Path, nastool: Nastool) -> None:
    one, two = nastool("runs", "list", "--json", cwd=folder).json["runs"]
    assert (one["name"], one["stage"], two["stage"]) == ("one", "retrained", "started")
    assert [budget["test_accuracy"] for budget in one["budgets"]] == [0.75, None]
    assert one["budgets"][0]["test_interval"] == pytest.approx([0.7054, 0.7899], abs=1e-4)  # scipy's binomtest
    assert [budget["holdout_interval"] for budget in one["budgets"]] == [None, None]
    assert one["size_bytes"] > 1000
    assert one["data"] == "digits"


def test_a_damaged_file_is_named_and_the_others_are_listed(folder: Path, nastool: Nastool) -> None:
    write_bytes(folder / "runs/one/search/macs_1M/best.json", b"{")
    answer = nastool("runs", cwd=folder)
    assert "latency_3ms" in answer.stdout
    assert "warning: one: runs/one/search/macs_1M/best.json is damaged" in answer.stderr


def test_two_runs_are_compared(folder: Path, nastool: Nastool) -> None:
    answer = nastool("runs", "compare", "one", "two", "--json", cwd=folder)
    assert answer.json["settings"] == [{"key": "seed", "first": "3", "second": "4"}]
    missing = nastool("runs", "compare", "one", "three", cwd=folder)
    assert missing.code == 2
    assert missing.stderr == "error: there is no run 'three' in runs. Existing runs: one, two\n"


def test_a_run_is_removed_unless_it_is_in_use(folder: Path, nastool: Nastool) -> None:
    with (folder / "runs/two/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = nastool("runs", "remove", "two", "--yes", cwd=folder)
    assert refused.code == 2
    assert "another nastool command is using runs/two" in refused.stderr
    assert nastool("runs", "remove", "two", "--yes", "--json", cwd=folder).json["removed"] == ["two"]
    assert [path.name for path in (folder / "runs").iterdir()] == ["one"]
    outside = nastool("runs", "remove", "../runs/one", "--yes", cwd=folder)
    assert outside.code == 2
    assert (folder / "runs/one/config.toml").exists()


def test_a_folder_without_runs_says_so(folder: Path, nastool: Nastool) -> None:
    shutil.rmtree(folder / "runs")
    answer = nastool("runs", cwd=folder)
    assert (answer.code, answer.stdout) == (0, "")
    assert "no runs in runs" in answer.stderr


def test_the_version_is_printed(tmp_path: Path, nastool: Nastool) -> None:
    from importlib.metadata import version

    answer = nastool("--version", cwd=tmp_path)
    assert (answer.code, answer.stdout) == (0, f"nastool {version('nastool')}\n")
