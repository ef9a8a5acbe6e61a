"""Every option and argument of every command with values that make no sense: no traceback, and nothing is written.

The options are read from the application, so a new one is tested as well. The settings name a space that does not
exist: whatever passes as a value ends there, before any work.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer
from typer.core import TyperArgument

from cli.main import commands

Nastool = Callable[..., Any]
SETTINGS = 'space = "none.py:space"\n[profile]\nbackend = "fake"\n'
SAMPLED = 12  # cases of `make test`
EACH = 10  # values for each parameter, of the long test
VALUES = (
    "-1", "0", "1e300", "1e-320", "nan", "inf", "-0.5", "9" * 26, "1" * 5000, "18446744073709551616", "0x10", "1_000",
    "\u0661", "1,2,,", "17", "17ms", "-5ms", "nanms", "infms", "1e400ms", "1..2", "2ms..1ms", "13ms..22ms/1000000",
    "\x1b[31mred", "\u202eabc", "\ud800", "\udce9", "x" * 5000, "[" * 5000, "{}", "-", "--", "%s%n", "a:b=c",
    "~nouser/x", "/nonexistent/x", ".", "..", ":memory:", "wds:", "wds:;", "folder:", "none.py:", ".py:x", "postgresql://",
    "sqlite://",
)  # fmt: skip
# quickstart would begin with its work in whatever folder or table these name.
STARTS_WORK = (("quickstart", "--runs"), ("quickstart", "--db"))
WRITES_ITS_ERROR = ("check", "--junit")  # the report says why there is no verdict


@dataclass(frozen=True)
class Parameter:
    """A command with one of its options, or of its arguments, whose label has no hyphens.

    Args:
        before: the number of arguments before this one.
        after: the number of required arguments after it.
    """

    command: tuple[str, ...]
    label: str
    before: int
    after: int

    def __str__(self) -> str:
        return " ".join((*self.command, self.label))

    def words(self, value: str) -> tuple[str, ...]:
        """The command line that gives this parameter a value."""
        is_option = self.label.startswith("-")
        before = (*self.command, f"{self.label}={value}") if is_option else (*self.command, "--")
        given = () if is_option else (value,)
        return (*before, *["none"] * self.before, *given, *["none"] * self.after)


def parameters(group: Any, path: tuple[str, ...] = ()) -> Iterator[Parameter]:
    """Everything that takes a value, of all commands below `group`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from parameters(command, (*path, name))
            continue
        arguments = [param for param in command.params if isinstance(param, TyperArgument)]
        required = [param.required for param in arguments]
        for param in command.params:
            if param in arguments:
                place, label = arguments.index(param), (param.metavar or param.name).upper()
                yield Parameter((*path, name), label, place, sum(required[place + 1 :]))
            elif not param.is_flag:
                yield Parameter((*path, name), param.opts[0], 0, sum(required))


PARAMETERS = tuple(parameters(typer.main.get_command(commands)))
CASES = [
    (parameter, value)
    for parameter in PARAMETERS
    for value in VALUES
    if (*parameter.command, parameter.label) not in STARTS_WORK
]
RANDOM_CASES = Random(0).sample(CASES, SAMPLED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nastool.toml").write_text(SETTINGS)
    return tmp_path


def require_refused(nastool: Nastool, folder: Path, words: tuple[str, ...]) -> Any:
    """The answer to a command line that must end with a sentence, or that changed nothing."""
    answer = nastool(*words, cwd=folder)
    assert answer.code in (0, 2, 5), (words, answer)  # 5: a device that is not attached
    if answer.code:
        assert answer.stdout == ""
        assert "error" in answer.stderr.lower(), (words, answer)
    assert not set("\x1b\u202e\0") & set(answer.stdout + answer.stderr), (words, answer)
    assert (folder / "nastool.toml").read_text() == SETTINGS
    if answer.code and (*words[:1], words[-1].partition("=")[0]) != WRITES_ITS_ERROR:
        assert [path.name for path in folder.iterdir()] == ["nastool.toml"], words
    return answer


def test_all_commands_are_known() -> None:
    known = {" ".join(parameter.command) for parameter in PARAMETERS}
    assert known >= {"train", "search", "check", "db import", "db fit"}
    assert len(PARAMETERS) > 150


@pytest.mark.parametrize("command", sorted({parameter.command for parameter in PARAMETERS}), ids=" ".join)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", "is empty"),
        pytest.param(" ", "is empty", marks=pytest.mark.long),
        pytest.param("a\0b", "contains a NUL byte", marks=pytest.mark.long),
    ],
)
def test_an_empty_value_is_refused_by_the_name_of_each_parameter(
    command: tuple[str, ...], value: str, text: str, nastool: Nastool, folder: Path
) -> None:
    for parameter in PARAMETERS:
        if parameter.command == command:
            answer = require_refused(nastool, folder, parameter.words(value))
            assert f"error: {parameter.label} {text}" in answer.stderr, (parameter, answer)


@pytest.mark.parametrize(("parameter", "value"), RANDOM_CASES)
def test_a_value_without_sense_is_refused(parameter: Parameter, value: str, nastool: Nastool, folder: Path) -> None:
    require_refused(nastool, folder, parameter.words(value))


@pytest.mark.long
@pytest.mark.parametrize("parameter", PARAMETERS, ids=str)
def test_values_without_sense_are_refused_by_all(parameter: Parameter, nastool: Nastool, folder: Path) -> None:
    """Each parameter has other values of the list: all of them with all parameters take a quarter of an hour."""
    values = [value for each, value in CASES if each == parameter]
    for value in Random(str(parameter)).sample(values, min(EACH, len(values))):
        require_refused(nastool, folder, parameter.words(value))
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "nastool.toml":
                path.unlink()
