"""All commands of the main job in a tiny space, run once per session; tests read the result or damage a copy."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SETTINGS = """
run = "r"
space = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
data = "digits"
threads = 1
holdout_per_class = 20

[profile]
quiet_timeout_s = 1.0  # tests run beside others
batch = 8
rounds = 2
min_ms = 1.0
networks = 3

[train]
recipe = "quick"
changes = { epochs = 1, batch = 32 }

[search]
population = 6
generations = 3
top_k = 3
bn_images = 128
batch = 64

[retrain]
recipe = "quick"
changes = { epochs = 1, batch = 32 }
"""
# The tiny space has 26,000 to 48,480 MACs (`nastool cost`); about a fifth of its architectures have at most 31k.
MACS = "31k"
# Variants take microseconds; this limit is so high that noise cannot exceed it.
LATENCY = "100ms"


@dataclass(frozen=True)
class Job:
    """A folder in which all commands ran, and the answer of each."""

    folder: Path
    answers: Mapping[str, Any]

    @property
    def journal(self) -> list[dict[str, Any]]:
        """The candidates that were scored, in order."""
        lines = (self.folder / "runs/r/search/candidates.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines[1:]]  # the first line is the fingerprint


@pytest.fixture(scope="session")
def settings() -> str:
    return SETTINGS


@pytest.fixture(scope="session")
def finished_job(nastool: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """profile, train, search, retrain, export and check, as a user runs them. Tests must not change the result."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "nastool.toml").write_text(SETTINGS)
    commands = {
        "profile": [],
        "train": [],
        "search": ["--latency", LATENCY, "--macs", MACS],
        "retrain": [],
        "export": [],
        "check": [],
    }
    answers = {name: nastool(name, *flags, "--json", cwd=folder) for name, flags in commands.items()}
    return Job(folder, answers)


@pytest.fixture
def job(finished_job: Job, tmp_path: Path) -> Job:
    """A copy of the finished job that a test may damage."""
    folder = tmp_path / "job"
    shutil.copytree(finished_job.folder, folder)
    return Job(folder, finished_job.answers)


def contents(folder: Path) -> dict[str, bytes]:
    """The content of all files except the lock, which is empty and stays."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def refused(nastool: Callable[..., Any]) -> Callable[..., str]:
    """Run a command in a folder that must be refused with `expected` in its message; gives the message.

    There is no answer on stdout and no traceback, and all files are unchanged. (The fixture `nastool` does not catch
    unexpected exceptions, so a traceback fails the test.)
    """

    def run(folder: Path, words: str | tuple[str, ...], *expected: str, code: int = 2) -> str:
        before = contents(folder)
        answer = nastool(*(words.split() if isinstance(words, str) else words), cwd=folder)
        assert answer.code == code, answer
        assert answer.stdout == "", "an error is no answer"
        text = " ".join(answer.stderr.split())
        assert "error:" in text
        assert "Traceback" not in text
        for piece in expected:
            assert piece in text
        assert contents(folder) == before
        return text

    return run
