"""An environment that says wrongly which of several processes this is."""

import os
import subprocess
import sys

import pytest

from toolchain.errors import BadLaunch
from toolchain.parallel.ranks import LAUNCHED, launched, require_sound, silent

SOUND = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
WRONG = [
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
    for name, value in SOUND.items():
        monkeypatch.setenv(name, value)
    for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE", LAUNCHED):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_sound_one_is_taken(environment: pytest.MonkeyPatch) -> None:
    require_sound()
    assert silent()
    environment.setenv(LAUNCHED, "1")
    assert launched()
    environment.delenv("MASTER_ADDR")  # then it is alone, whatever the rest says
    environment.setenv("MASTER_PORT", "notaport")
    require_sound()
    assert not silent()


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_one_is_refused_aloud(name: str, value: str, message: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv(LAUNCHED, "1")
    environment.setenv(name, value)
    with pytest.raises(BadLaunch) as caught:
        require_sound()
    assert str(caught.value).startswith(message)
    assert "Let torchrun set it" in str(caught.value)
    assert (silent(), launched()) == (False, False), "nobody else would say it"


@pytest.mark.parametrize(("name", "value"), [("RANK", "x"), ("RANK", "7"), ("MASTER_PORT", "notaport")])
def test_a_command_ends_with_it(name: str, value: str) -> None:
    """In a process of its own: who prints is settled when the command line is imported."""
    words = [sys.executable, "-m", "cli.main", "space"]
    ended = subprocess.run(words, env={**os.environ, **SOUND, name: value}, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {name} is ")
    assert "Traceback" not in ended.stderr
