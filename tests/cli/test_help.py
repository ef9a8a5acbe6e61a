"""Help: every command and every option is explained, and it comes quickly."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.main import commands

TOP: dict[str, Any] = get_command(commands).commands  # type: ignore[attr-defined]
NAMES = sorted(TOP)
# By what is typed for it: those of a group behind the group's name.
ALL = {name: command for name, command in TOP.items() if not hasattr(command, "commands")} | {
    f"{name} {below}": command
    for name, group in TOP.items()
    for below, command in getattr(group, "commands", {}).items()
}
HEAVY = ("torch", "torchvision", "onnx", "onnxruntime", "sqlalchemy", "sklearn", "matplotlib")


def test_commands_are_all_here() -> None:
    expected = [
        "bench",
        "check",
        "cost",
        "db",
        "devices",
        "doctor",
        "draw",
        "export",
        "init",
        "paper",
        "profile",
        "quickstart",
        "rank",
        "report",
        "retrain",
        "run",
        "runs",
        "search",
        "shrink",
        "space",
        "train",
    ]
    assert expected == NAMES


def test_overview_has_a_line_for_each_command(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("--help", cwd=tmp_path)
    assert answer.code == 0
    for name in NAMES:
        assert f"│ {name} " in answer.stdout


@pytest.mark.parametrize("name", sorted(ALL))
def test_command_has_help(name: str, nastool: Callable[..., Any], tmp_path: Path) -> None:
    command = ALL[name]
    first, *rest = command.help.strip().splitlines()
    assert first.endswith("."), "the first line is a sentence of its own"
    assert 20 <= len(first) <= 120
    assert not rest or rest[0] == "", "an empty line sets the rest off"
    for option in command.params:
        assert option.help, f"--{option.name} has no help"
    answer = nastool(*name.split(), "--help", cwd=tmp_path)
    assert answer.code == 0
    assert first.split()[0] in answer.stdout
    assert nastool(*name.split(), "-h", cwd=tmp_path) == answer


def test_no_command_shows_the_overview(nastool: Callable[..., Any], tmp_path: Path) -> None:
    assert "Commands" in nastool(cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "wrong"),
    [("serach", "serach"), ("search --latencies 1ms", "--latencies"), ("profile --rounds many", "--rounds")],
)
def test_wrong_words_are_named(words: str, wrong: str, nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool(*words.split(), cwd=tmp_path)
    assert answer.code == 2
    assert wrong in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_help_loads_nothing_heavy() -> None:
    """In a separate process, since this one has torch. All commands in one, for each start costs a second."""
    code = f"""
import sys
from contextlib import suppress
from cli.main import app
for words in [["--help"], *([*name.split(), "--help"] for name in {sorted(ALL)!r})]:
    sys.argv = ["nastool", *words]
    with suppress(SystemExit):
        app()
print("loaded:", sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "loaded: []"
    assert process.stdout.count("Usage:") == 1 + len(ALL)
