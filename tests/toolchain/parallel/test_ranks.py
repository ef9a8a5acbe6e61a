"""The environment of torchrun: valid, invalid, and the end of a rank whose output cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.errors import BadLaunch
from toolchain.parallel.ranks import LAUNCHED, launched, require_valid_environment, silent

VALID = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
INVALID = [
    ("RANK", "x", "RANK is 'x' in the environment, and should be a whole number from 0"),
    ("RANK", "", "RANK is '' in the environment"),
    ("RANK", "2", "RANK is 2 and WORLD_SIZE is 2 in the environment"),
    ("WORLD_SIZE", "-2", "WORLD_SIZE is '-2' in the environment"),
    ("LOCAL_RANK", "first", "LOCAL_RANK is 'first' in the environment"),
    ("MASTER_PORT", "notaport", "MASTER_PORT is 'notaport' in the environment, and should be a port from 1 to 65535"),
    ("MASTER_PORT", "70000", "MASTER_PORT is '70000' in the environment"),
    (LAUNCHED, "me", "NASTOOL_LAUNCHER is 'me' in the environment"),
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in VALID.items():
        monkeypatch.setenv(name, value)
    for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE", LAUNCHED):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_valid_environment_is_accepted(environment: pytest.MonkeyPatch) -> None:
    require_valid_environment()
    assert silent()
    environment.setenv(LAUNCHED, "1")
    assert launched()
    environment.delenv("MASTER_ADDR")  # without it, this is a single process
    environment.setenv("MASTER_PORT", "notaport")
    require_valid_environment()
    assert not silent()


@pytest.mark.parametrize(("name", "value", "message"), INVALID)
def test_an_invalid_environment_is_refused_by_every_rank(
    name: str, value: str, message: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(LAUNCHED, "1")
    environment.setenv(name, value)
    with pytest.raises(BadLaunch) as caught:
        require_valid_environment()
    assert str(caught.value).startswith(message)
    assert "Let torchrun set it" in str(caught.value)
    assert (silent(), launched()) == (False, False)


@pytest.mark.parametrize(("name", "value"), [("RANK", "x"), ("RANK", "7"), ("MASTER_PORT", "notaport")])
def test_a_command_ends_with_the_error(name: str, value: str) -> None:
    """In its own process: which rank prints is decided when the command line is imported."""
    words = [sys.executable, "-m", "cli.main", "space"]
    ended = subprocess.run(words, env={**os.environ, **VALID, name: value}, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {name} is ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_rank_whose_output_can_not_be_written_succeeds(stream: str) -> None:
    """A full device refuses what was buffered when the process ends."""
    code = f"import sys; from toolchain.parallel.ranks import exit_rank; sys.{stream}.write('x'); exit_rank()"
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **VALID, "PYTHONUNBUFFERED": ""},
            check=False,
            **{stream: full},  # type: ignore[call-overload]
        )
    assert ended.returncode == 0


def test_too_few_open_files_are_named_before_anything_starts() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))\n"
        "from toolchain.parallel.launcher import launch\n"
        "launch(['space'], 2)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == (
        "toolchain.errors.RankFailed: cannot start 2 processes: this shell allows 24 open files, and 80 are needed. "
        "Run ulimit -n 80 first"
    )
