"""`--nproc`: one command in several processes, as a user types it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

Nastool = Callable[..., Any]

SETTINGS = """
run = "r"
space = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
data = "digits"
holdout_per_class = 20
threads = 1

[train]
recipe = "quick"
checkpoint_every_s = 0.0
changes = { epochs = %s, batch = 32 }

[retrain]
recipe = "quick"
changes = { epochs = 0.5, batch = 32 }
"""
CHECKPOINT = Path("runs/r/supernet/checkpoint.pt")
PATIENCE_S = 600


def settle(folder: Path, epochs: float) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "nastool.toml").write_text(SETTINGS % epochs)
    return folder


@pytest.mark.long
def test_two_processes_answer_once(nastool: Nastool, tmp_path: Path) -> None:
    settle(tmp_path, 0.3)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    answer = nastool("train", "--nproc", "2", "--json", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert answer.json["steps"] == 12
    assert answer.stderr.count("Next:") + answer.stderr.count("warning: 12 steps") == 1
    assert (tmp_path / CHECKPOINT).exists()
    assert (tmp_path / "runs/r/config.toml").exists()
    assert len(list((tmp_path / "runs/r/tb/supernet").iterdir())) == 1  # the first alone writes curves
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.long
def test_several_seeds_by_two(nastool: Nastool, tmp_path: Path) -> None:
    settle(tmp_path, 0.2)
    answer = nastool("train", "--seeds", "0,2", "--nproc", "2", "--json", cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert [seed["steps"] for seed in answer.json["seeds"].values()] == [8, 8]
    assert sorted(run.name for run in (tmp_path / "runs").iterdir()) == ["r-seed0", "r-seed2"]
    limit = ("--macs", "31k", "--no-random-search", "--population", "4", "--generations", "2", "--finalists", "0")
    searched = nastool("search", "--seeds", "0,2", "--nproc", "2", *limit, "--json", cwd=tmp_path)
    assert searched.code == 0, searched.stderr
    assert searched.json["within_limits"] == 2
    retrained = nastool("retrain", "--seeds", "0,2", "--nproc", "2", cwd=tmp_path)
    assert retrained.code == 0, retrained.stderr
    assert retrained.stdout.count("mean") == 2  # the title and the row


@pytest.mark.long
def test_what_is_refused_is_said_once(nastool: Nastool, tmp_path: Path) -> None:
    settle(tmp_path, 0.3)
    answer = nastool("train", "--nproc", "3", cwd=tmp_path)
    assert answer.code == 2
    assert answer.stdout == ""
    assert answer.stderr.count("error:") == 1
    assert "a batch of 32 images cannot be shared equally by 3 processes" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert nastool("train", "--nproc", "0", cwd=tmp_path).code == 2


@contextmanager
def typed(*words: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that runs, with no process of it left in the end."""
    command = [sys.executable, *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ranks_of(launcher: int) -> dict[int, int]:
    """The processes that `launcher` started, by rank."""
    result = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            environment = dict(
                pair.split("=", 1) for pair in folder.joinpath("environ").read_text().split("\0") if "=" in pair
            )
        except (OSError, ValueError):  # it has just ended
            continue
        if parent == launcher and "RANK" in environment:
            result[int(environment["RANK"])] = int(folder.name)
    return result


def wait_until(true: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def step_of(folder: Path) -> int:
    return int(torch.load(folder / CHECKPOINT, weights_only=True)["step"])


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_process_that_dies_ends_the_run_and_the_same_command_resumes(tmp_path: Path) -> None:
    """On to the very same weights as a run on two processes that nobody killed."""
    train = ("-m", "cli.main", "train", "--nproc", "2")
    with typed(*train, folder=settle(tmp_path / "whole", 1)) as process:
        assert process.wait(PATIENCE_S) == 0
    folder = settle(tmp_path / "killed", 1)
    with typed(*train, folder=folder) as process:
        wait_until((folder / CHECKPOINT).exists, process)
        os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert stderr.count("error:") == 1
    message = "process 1 of 2 ended by SIGKILL, and the others were ended with it"
    assert message in stderr
    assert "run the same command again to continue from the last checkpoint" in " ".join(stderr.split())
    assert "Traceback" not in stderr
    killed_at = step_of(folder)
    assert killed_at < step_of(tmp_path / "whole")

    with typed(*train, folder=folder) as process:
        assert process.wait(PATIENCE_S) == 0
    one, other = (torch.load(way / CHECKPOINT, weights_only=True)["model"] for way in (folder, tmp_path / "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_killed_launcher_leaves_nothing_behind_and_one_process_resumes(tmp_path: Path) -> None:
    folder = settle(tmp_path, 2)
    with typed("-m", "cli.main", "train", "--nproc", "2", folder=folder) as process:
        wait_until((folder / CHECKPOINT).exists, process)
        ranks = ranks_of(process.pid)
        process.kill()
        process.communicate()
    deadline = time.monotonic() + PATIENCE_S
    while not all(map(gone, ranks.values())):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = step_of(folder)
    with typed("-m", "cli.main", "train", folder=folder) as process:
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert before < step_of(folder) == 77


@pytest.mark.long
def test_ctrl_c_stops_all_of_them_without_noise(tmp_path: Path) -> None:
    folder = settle(tmp_path, 40)
    with typed("-m", "cli.main", "train", "--nproc", "2", folder=folder) as process:
        wait_until((folder / CHECKPOINT).exists, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "stopped. Nothing is lost: run the same command again to continue" in stderr
    assert "Traceback" not in stderr


@pytest.mark.long
def test_torchrun_starts_it_as_well(tmp_path: Path) -> None:
    folder = settle(tmp_path, 0.3)
    words = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--", "cli.main", "train", "--run", "other")
    with typed(*words, folder=folder) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert stdout.count("checkpoint") >= 1
    assert (folder / "runs/other/supernet/checkpoint.pt").exists()


@pytest.mark.long
def test_a_winner_is_trained_by_two(nastool: Nastool, tmp_path: Path) -> None:
    settle(tmp_path, 0.3)
    answers = [
        nastool("retrain", "--arch", "0 1 2 3", "--run", name, "--nproc", n, "--json", cwd=tmp_path).json
        for name, n in (("one", "1"), ("two", "2"))
    ]
    assert answers[0].keys() == answers[1].keys()
    assert answers[0]["steps"] == answers[1]["steps"] == 19
    again = nastool("retrain", "--arch", "0 1 2 3", "--run", "two", "--json", cwd=tmp_path).json
    assert again == answers[1]  # done is done, whoever did it


@pytest.mark.long
def test_a_search_by_two_leaves_the_files_of_one(nastool: Nastool, tmp_path: Path) -> None:
    """Down to the last byte: scores, the winner that was measured, and the pictures."""
    one, two = settle(tmp_path / "one", 0.3), tmp_path / "two"
    backend = ("--backend", "fake", "--json")
    assert nastool("train", "--json", cwd=one).code == 0
    assert nastool("profile", *backend, cwd=one).code == 0
    shutil.copytree(one, two)
    asked = (
        "search",
        *backend,
        "--latency",
        "0.13ms",
        "--macs",
        "30k..36k/2",
        "--population",
        "8",
        "--generations",
        "3",
    )
    answers = [nastool(*asked, "--nproc", n, cwd=folder) for n, folder in (("1", one), ("2", two))]
    assert [answer.code for answer in answers] == [0, 0], answers[1].stderr
    assert answers[0].json == answers[1].json
    searched = sorted(file.relative_to(one) for file in (one / "runs/r/search").rglob("*") if file.is_file())
    assert len(searched) >= 8
    for file in searched:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file
