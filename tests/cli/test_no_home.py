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

SETTINGS = """
space = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
data = "digits"
holdout_per_class = 20
threads = 1
profile = { rounds = 2, min_ms = 1.0, batch = 8, networks = 3, quiet_timeout_s = 1.0 }
search = { population = 6, generations = 3, top_k = 3, bn_images = 128 }
train = { recipe = "quick", changes = { epochs = 1, batch = 32 } }
retrain = { recipe = "quick", changes = { epochs = 1, batch = 32 } }
"""


@pytest.mark.parametrize(
    "words", ["doctor --json", pytest.param("run --latency 1s --backend fake", marks=pytest.mark.long)]
)
def test_a_command_works_without_a_home_folder(words: str, tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_text(SETTINGS)
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
