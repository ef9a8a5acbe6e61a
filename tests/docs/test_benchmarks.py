"""The benchmarks can be imported, and the commands in their README and in all.py name files and flags that exist."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
FILES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_benchmark_imports(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark that uses a renamed or moved name fails here, and not after an hour."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"benchmark_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.__doc__


def documented_commands() -> list[list[str]]:
    """The words after `python benchmarks/` in the README of the benchmarks."""
    lines = re.findall(r"^\$ python benchmarks/(.*)$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("words", documented_commands(), ids=" ".join)
def test_documented_command_exists(words: list[str]) -> None:
    source = (FOLDER / words[0]).read_text()
    assert [word for word in words[1:] if word.startswith("--") and f'"{word}"' not in source] == []


def test_every_benchmark_is_documented() -> None:
    page = (FOLDER / "README.md").read_text()
    shared = {"lines.py", "rank.py", "inherited.py", "gpu_training.py", "loader_cache.py"}
    assert [file.name for file in FILES if file.name not in page and file.name not in shared] == []
