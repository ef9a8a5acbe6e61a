"""Where a setting comes from: defaults < nastool.toml < flags; and that a run's own config.toml can be fed back."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.config import load_config

TINY = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
SETTINGS = f"""
run = "from-file"
space = "{TINY}"
data = "digits"
holdout_per_class = 20
threads = 1

[train]
recipe = "quick"
changes = {{ epochs = 0.3, batch = 32 }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nastool.toml").write_text(SETTINGS)
    return tmp_path


def test_file_overrides_defaults_and_flags_override_the_file(nastool: Callable[..., Any], folder: Path) -> None:
    flags = ("--run", "from-flag", "--seed", "5", "--epochs", "0.2", "--runs", "elsewhere")
    assert nastool("train", *flags, "--json", cwd=folder).code == 0
    resolved = load_config(folder / "elsewhere/from-flag/config.toml", {})
    assert (resolved.run, resolved.seed, resolved.train.changes["epochs"]) == ("from-flag", 5, 0.2)
    assert resolved.train.changes["batch"] == 32  # the file's, beside the flag's
    assert resolved.holdout_per_class == 20
    assert resolved.search.population == 50  # neither: the default, Algorithm 1's
    assert not (folder / "runs").exists()


def test_another_file_than_the_one_here(nastool: Callable[..., Any], folder: Path) -> None:
    (folder / "nastool.toml").rename(folder / "other.toml")
    (folder / "nastool.toml").write_text("run = 'not-this'\n")
    assert nastool("train", "--config", "other.toml", "--json", cwd=folder).code == 0
    assert [path.name for path in (folder / "runs").iterdir()] == ["from-file"]


def test_resolved_settings_feed_back(nastool: Callable[..., Any], folder: Path) -> None:
    """The run's config.toml alone gives the same run: the same weights, bit for bit."""
    assert nastool("train", "--seed", "3", "--json", cwd=folder).code == 0
    resolved = folder / "runs/from-file/config.toml"
    again = nastool("train", "--config", resolved, "--runs", "again", "--json", cwd=folder)
    assert again.code == 0
    assert load_config(resolved, {"runs": "again"}) == load_config(folder / "again/from-file/config.toml", {})
    first, second = (folder / runs / "from-file/supernet/checkpoint.pt" for runs in ("runs", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_refused_request_leaves_the_resolved_settings(nastool: Callable[..., Any], folder: Path) -> None:
    assert nastool("train", cwd=folder).code == 0
    resolved = folder / "runs/from-file/config.toml"
    before = resolved.read_text()
    assert nastool("train", "--seed", "1", cwd=folder).code == 2
    assert resolved.read_text() == before


def test_environment_is_noted(nastool: Callable[..., Any], folder: Path) -> None:
    assert nastool("train", cwd=folder).code == 0
    noted = json.loads((folder / "runs/from-file/env.json").read_text())
    assert noted["schema_version"] == 1
    assert {"nastool", "torch", "onnx", "sqlalchemy"} <= noted["packages"].keys()
    assert noted["python"].count(".") == 2


@pytest.mark.parametrize("command", ["doctor", "init", "space"])
def test_deleted_working_directory_is_named(command: str, tmp_path: Path) -> None:
    folder = tmp_path / "deleted"
    folder.mkdir()
    script = f"import os; os.rmdir({str(folder)!r}); from cli.main import app; app()"
    path = Path(__file__).parents[2]
    finished = subprocess.run(
        [sys.executable, "-c", script, command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert finished.stderr == (
        "error: cannot use the working directory: No such file or directory. Change to a folder that exists (cd)\n"
    )
