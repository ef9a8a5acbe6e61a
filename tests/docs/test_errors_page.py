"""docs/errors.md quotes messages that the code has, and its advice can be followed.

The same advice in the messages themselves is tested too: a command or flag that a message names must exist.
"""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.main import commands
from toolchain.config import parse_config

ROOT = Path(__file__).parents[2]
PACKAGES = ("cli", "toolchain", "exporters", "latency_db")
HOLE = "\0"  # stands for a value in a message
PAGE_ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in (ROOT / "docs" / "errors.md").read_text().split("\n## ", 1)[1].splitlines()
    if line.startswith("| ") and not line.startswith("| message")
]
CODE = re.compile(r"`([^`]+)`")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
# Flags of other programs that messages name.
FOREIGN_FLAGS = {"--upgrade", "--force-reinstall", "--user", "--nnodes", "--nproc-per-node", "--gpus"}


def leaf_commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each command by its full name: `search`, `db list`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaf_commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(leaf_commands(get_command(commands)))
ALL_FLAGS = {
    flag for command in COMMANDS.values() for param in command.params for flag in (*param.opts, *param.secondary_opts)
} | {"--help"}


@cache
def templates() -> tuple[str, ...]:
    """The string literals of the packages, with `HOLE` for each inserted value."""
    texts = []
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (v.value if isinstance(v, ast.Constant) else HOLE for v in node.values)
                texts.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return tuple(texts)


@cache
def phrases() -> frozenset[tuple[str, str]]:
    """Every two consecutive words of the literals."""
    return frozenset(pair for text in templates() for pair in pairwise(re.findall(rf"[\w']+|{HOLE}", text)))


VALUE = r"\.\.\.|'[^']*'(?!\w)|\S*\d\S*|\S*[a-z]\.[a-z]\S*|\([^)]*\)"  # numbers, quoted names, files


def is_quoted_from_code(quoted: str) -> bool:
    """Whether most pairs of consecutive words of a quoted message, apart from its values, occur in the code."""
    pairs = [pair for piece in re.split(VALUE, quoted) for pair in pairwise(re.findall(r"[\w']+", piece))]
    return 3 * sum(pair in phrases() for pair in pairs) >= 2 * len(pairs)


def quoted_messages() -> list[str]:
    return [message for row in PAGE_ROWS for message in CODE.findall(row[0])]


# Texts of pydantic, the runtimes and the operating system, which the code passes on.
PASSED_ON = {"Extra inputs are not permitted", "FP32 GEMM is not supported", "No space left on device"}


@pytest.mark.parametrize("quoted", quoted_messages())
def test_quoted_message_is_one_of_the_code(quoted: str) -> None:
    for text in PASSED_ON:
        quoted = quoted.replace(text, "...")
    assert is_quoted_from_code(quoted), "quote the message as the code has it"


def test_a_message_that_the_code_does_not_have_is_detected() -> None:
    assert not is_quoted_from_code("the coffee machine ... has no beans left in it")


def advice() -> list[str]:
    """What the remedies on the page say to write, give or run."""
    return sorted({text for row in PAGE_ROWS for text in CODE.findall(row[-1])})


def test_there_is_advice() -> None:
    assert len(advice()) > 40


@pytest.mark.parametrize("text", advice())
def test_advice_can_be_followed(text: str) -> None:
    if text.startswith("nastool "):
        assert_command_exists(text)
    elif text.startswith("--"):
        assert_some_command_takes(text)
    elif text.startswith("pip install"):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        package = text.removeprefix("pip install").strip(" '")
        groups = (project["dependencies"], *project["optional-dependencies"].values())
        assert any(dependency.startswith(package) for group in groups for dependency in group)
    elif "=" in text:
        keys = tomllib.loads(text)
        sections = ("", "train", "profile", "search", "export", "check")
        assert any(accepts(section, keys) for section in sections), "no section of nastool.toml accepts this"
    else:
        assert is_known_word(text), "write it so that the test can try it, or add the word to OTHER_WORDS"


def assert_command_exists(text: str) -> None:
    """The command line parses, as far as it is complete."""
    words = shlex.split(text)[1:]
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    assert name in COMMANDS, text
    COMMANDS[name].make_context(name, words[len(name.split()) :], resilient_parsing=True)
    assert set(FLAG.findall(text)) <= {
        flag for param in COMMANDS[name].params for flag in (*param.opts, *param.secondary_opts)
    }


def assert_some_command_takes(text: str) -> None:
    """A command has the flag, and its command line parses with it."""
    words = shlex.split(text)
    takers = [
        name
        for name, command in COMMANDS.items()
        if any(words[0] in (*param.opts, *param.secondary_opts) for param in command.params)
    ]
    assert takers, f"no command has {words[0]}"
    if len(words) > 1:
        assert any(parses(name, words) for name in takers), text


def parses(name: str, words: list[str]) -> bool:
    try:
        COMMANDS[name].make_context(name, words)
    except Exception:  # the command line's own errors, of an argument that it refuses
        return False
    return True


def accepts(section: str, keys: dict[str, Any]) -> bool:
    """Whether nastool.toml may have `keys` in the section."""
    line = "\n".join(f"{key} = {value!r}".replace("'", '"') for key, value in keys.items())
    try:
        parse_config(f"[{section}]\n{line}" if section else line, {}, "nastool.toml")
    except Exception:
        return False
    return True


# Words of remedies that are no commands: units, files, variables, precisions, keys.
OTHER_WORDS = {
    "#gpu",
    "nvidia-smi",
    "/dev/stdout",
    "git lfs pull",
    "train/",
    "val/",
    "k",
    "M",
    "G",
    "Ki",
    "Mi",
    "Gi",
    "exact",
    "int8",
    "~/.pgpass",
    "batch",
    "[train]",
    "[train.changes]",
}
VARIABLES = {"CUDA_VISIBLE_DEVICES", "NASTOOL_LOCKS", "PGPASSWORD", "RANK", "WORLD_SIZE"}


def is_known_word(text: str) -> bool:
    return text in OTHER_WORDS | VARIABLES or re.fullmatch(r"[\d.]+(?:us|ms|s)", text) is not None


def messages_with_flags() -> list[str]:
    """The literals of the packages that name a flag inside a sentence."""
    return sorted({text for text in templates() if " " in text and FLAG.search(text)})


@pytest.mark.parametrize("text", messages_with_flags(), ids=lambda text: FLAG.findall(text)[0])
def test_flags_named_by_a_message_exist(text: str) -> None:
    assert set(FLAG.findall(text)) <= ALL_FLAGS | FOREIGN_FLAGS


def test_commands_named_by_a_message_exist() -> None:
    names = {words[0] for name in COMMANDS if (words := name.split())}
    named = {
        (match[1], text)
        for text in templates()
        for match in re.finditer(r"(?:[Rr]un|[Tt]ype|with|by|of) `?nastool ([a-z]+)", text)
    }
    assert {command for command, _ in named}
    assert [(command, text) for command, text in named if command not in names] == []
