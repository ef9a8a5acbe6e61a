"""`nastool init` writes what the other commands read."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.config import PRESETS, Config, load_config, preset_text


@pytest.mark.parametrize("preset", PRESETS)
def test_writes_the_preset(preset: str, nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("init", "--preset", preset, cwd=tmp_path)
    assert answer.code == 0
    following = "nastool shrink MODEL" if preset == "shrink" else "nastool profile"
    assert f"Next: {following}" in answer.stderr
    written = tmp_path / "nastool.toml"
    assert written.read_text() == preset_text(preset)
    assert load_config(written, {}) == Config(**tomllib.loads(preset_text(preset)))
    assert [path.name for path in tmp_path.iterdir()] == ["nastool.toml"]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_data_set_replaces_that_of_the_preset(preset: str, nastool: Callable[..., Any], tmp_path: Path) -> None:
    data = 'folder:my "own" pets'
    assert nastool("init", "--preset", preset, "--data", data, cwd=tmp_path).code == 0
    written = (tmp_path / "nastool.toml").read_text()
    assert load_config(tmp_path / "nastool.toml", {}).data == data
    changed = [line for line in written.splitlines() if line not in preset_text(preset).splitlines()]
    assert len(changed) == 1
    assert "# digits | fashion-mnist" in changed[0]  # the comment stays


@pytest.mark.parametrize("preset", PRESETS)
def test_every_line_is_explained(preset: str) -> None:
    """Each key has a comment, or one of the same section does; each key that can be set is shown."""
    lines = [line for line in preset_text(preset).splitlines() if "=" in line and not line.startswith("#")]
    unexplained = [line for line in lines if "#" not in line]
    assert len(unexplained) <= 8, unexplained  # what says itself, as `backend = "onnxruntime"`


def test_quick_is_the_default(nastool: Callable[..., Any], tmp_path: Path) -> None:
    nastool("init", cwd=tmp_path)
    assert (tmp_path / "nastool.toml").read_text() == preset_text("quick")


def test_does_not_replace_a_file(nastool: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "nastool.toml").write_text("seed = 3\n")
    answer = nastool("init", cwd=tmp_path)
    assert answer.code == 2
    assert "nastool.toml exists. Run nastool init --force to overwrite it" in answer.stderr
    assert (tmp_path / "nastool.toml").read_text() == "seed = 3\n"
    assert nastool("init", "--force", cwd=tmp_path).code == 0
    assert (tmp_path / "nastool.toml").read_text() == preset_text("quick")
