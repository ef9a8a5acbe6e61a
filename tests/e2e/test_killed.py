"""A command that is killed at any moment and run again ends with the same result.

Each command is killed (SIGKILL) at two moments, identified by the files written so far, and run again.
The reference is one run of all commands that nobody killed.
"""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.long

SETTINGS = """
run = "r"
space = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
data = "digits"
threads = 1
holdout_per_class = 20

[profile]
quiet_timeout_s = 1.0
batch = 8
rounds = 16
min_ms = 5.0
networks = 3

[train]
recipe = "quick"
checkpoint_every_s = 0.0
changes = { epochs = 6, batch = 32 }

[search]
latency = "1s"
macs = "130k"
population = 12
generations = 4
top_k = 4
bn_images = 512
batch = 64

[retrain]
recipe = "quick"
checkpoint_every_s = 0.0
changes = { epochs = 6, batch = 32 }
"""
COMMANDS = ("profile", "train", "search", "retrain")
PATIENCE_S = 600


def start(words: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(words: Sequence[str], folder: Path) -> None:
    process = start(words, folder)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr.decode()


def rounds_stored(folder: Path) -> int:
    path = folder / "latency.sqlite"
    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(DISTINCT round) FROM samples").fetchone()[0])
    except sqlite3.OperationalError:  # the tables do not exist yet
        return 0
    finally:
        connection.close()


def checkpoints_seen(pattern: str) -> Callable[[Path], int]:
    """Counts how often the checkpoint was replaced since the first call."""
    seen: set[int] = set()

    def count(folder: Path) -> int:
        for path in folder.glob(pattern):
            seen.add(path.stat().st_mtime_ns)
        return len(seen)

    return count


def lines_written(folder: Path) -> int:
    path = folder / "runs/r/search/candidates.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def progress_of(command: str) -> Callable[[Path], int]:
    return {
        "profile": rounds_stored,
        "train": checkpoints_seen("runs/r/supernet/checkpoint.pt"),
        "search": lines_written,
        "retrain": checkpoints_seen("runs/r/retrain/*/checkpoint.pt"),
    }[command]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    (folder / "nastool.toml").write_text(SETTINGS)
    for command in COMMANDS:
        finish([command], folder)
        shutil.copytree(folder, folder.parent / f"before-{COMMANDS.index(command) + 1}", dirs_exist_ok=True)
    return folder


@pytest.mark.parametrize("moment", [1, 12])
@pytest.mark.parametrize("command", COMMANDS)
def test_same_result_after_a_kill(command: str, moment: int, reference: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    before = reference.parent / f"before-{COMMANDS.index(command)}"
    if before.exists():
        shutil.copytree(before, folder)
    else:
        folder.mkdir()
        (folder / "nastool.toml").write_text(SETTINGS)

    process = start([command], folder)
    progress = progress_of(command)
    deadline = time.monotonic() + PATIENCE_S
    while progress(folder) < moment and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, f"{command} ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()

    finish([command], folder)
    {"profile": same_profile, "train": same_supernet, "search": same_search, "retrain": same_weights}[command](
        folder, reference
    )


# only of the profile: the later search stores its measured networks too
PLANNED = (
    "SELECT key, count(*) FROM samples WHERE round < 16 "
    "AND run_id IN (SELECT id FROM profile_runs WHERE kind = 'profile') GROUP BY key ORDER BY key"
)


def same_profile(folder: Path, reference: Path) -> None:
    """One resumed run: each variant has each planned round once. The number of extra rounds may differ."""
    connection = sqlite3.connect(folder / "latency.sqlite")
    assert connection.execute("SELECT count(*) FROM profile_runs WHERE finished_at IS NOT NULL").fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM profile_runs").fetchone() == (1,)
    counts = connection.execute(PLANNED).fetchall()
    connection.close()
    expected = sqlite3.connect(reference / "latency.sqlite")
    assert counts == expected.execute(PLANNED).fetchall()
    expected.close()


def same_supernet(folder: Path, reference: Path) -> None:
    same_tensors(folder / "runs/r/supernet/checkpoint.pt", reference / "runs/r/supernet/checkpoint.pt")


def same_search(folder: Path, reference: Path) -> None:
    journal, best = Path("runs/r/search/candidates.jsonl"), Path("runs/r/search/best.json")
    assert (folder / journal).read_bytes() == (reference / journal).read_bytes()
    measured = '"measured_'  # depends on time: latency, upper end, stability
    lines, expected = ((root / best).read_text().splitlines() for root in (folder, reference))
    assert [line for line in lines if measured not in line] == [line for line in expected if measured not in line]


def same_weights(folder: Path, reference: Path) -> None:
    (weights,) = (folder / "runs/r/retrain").glob("*/best.pt")
    same_tensors(weights, reference / weights.relative_to(folder))
    assert (weights.parent / "result.json").read_bytes() == (
        reference / weights.parent.relative_to(folder) / "result.json"
    ).read_bytes()


def same_tensors(one: Path, other: Path) -> None:
    left, right = (torch.load(path, weights_only=True)["model"] for path in (one, other))
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name
