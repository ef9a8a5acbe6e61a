"""Commands of a user without a home folder: no HOME and no passwd entry, as in some containers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_PASSWD_ENTRY = """
import pwd, sys

def unknown(user):
    raise KeyError(user)

pwd.getpwuid = unknown
from cli.main import app
sys.argv[0] = "nastool"
app()
"""


@pytest.mark.parametrize("words", ["doctor --json", pytest.param("quickstart --data digits", marks=pytest.mark.long)])
def test_a_command_works_without_a_home_folder(words: str, tmp_path: Path) -> None:
    unset = ("HOME", "XDG_CACHE_HOME", "NASTOOL_CACHE")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PASSWD_ENTRY, *words.split()],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in unset},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
