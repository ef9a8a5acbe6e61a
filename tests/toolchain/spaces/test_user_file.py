"""A search space in a user's file: whatever is wrong with the file becomes one sentence with its name and line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from toolchain.errors import UnknownSpace
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

HEAD = "from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem\n"
TWO_BLOCKS = """\
choices = (Choice('k3e3'), Choice('k5e3'))
first = ChoiceBlock(16, 24, 16, 2, choices)
second = ChoiceBlock(24, 24, 8, 1, choices)
mine = SearchSpace('mine', 'fbnet', 3, 32, 10, Stem(16, 2), (first, second), Head(32))
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], SearchSpace]:
    """The space `mine` of a file with the given text."""

    def write_and_load(text: str) -> SearchSpace:
        file = tmp_path / "my.py"
        file.write_text(text)
        return load_space(f"{file}:mine")

    return write_and_load


def test_a_consistent_space_is_loaded(load: Callable[[str], SearchSpace]) -> None:
    assert load(HEAD + TWO_BLOCKS).size == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("exit()\n", "my.py, line 1: the file ends the program (SystemExit)"),
        ("import sys\nsys.exit(0)\n", "my.py, line 2: the file ends the program (SystemExit)"),
        ("x = 1\ny = x / 0\n", "my.py, line 2: ZeroDivisionError: division by zero"),
        ("def f():\n    return f()\nf()\n", "my.py, line 2: RecursionError: maximum recursion depth exceeded"),
        ("x = (\n", "my.py, line 1: SyntaxError: '(' was never closed"),
        ("import no_such_module\n", "my.py, line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('\\x1b[31m' + chr(0xdce9))\n", r"my.py, line 1: ValueError: '\x1b[31m\udce9'"),
        ("class Quiet(BaseException):\n    pass\nraise Quiet\n", "my.py, line 3: Quiet"),
        (
            "class Bad(Exception):\n    def __str__(self):\n        raise KeyError\nraise Bad\n",
            "my.py, line 4: Bad. Correct the file",
        ),
        ("mine = 5\n", "my.py defines no SearchSpace 'mine'. It defines none"),
        ("def __getattr__(name):\n    raise ValueError\n", "my.py defines no SearchSpace 'mine'"),
        (HEAD + TWO_BLOCKS.replace("mine =", "yours ="), "It defines yours: write --space"),
        (HEAD + TWO_BLOCKS + "def build_block(*_): ...\n", "defines build_block but not build_stem, build_head"),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(text: str, problem: str, load: Callable[[str], SearchSpace]) -> None:
    with pytest.raises(UnknownSpace) as caught:
        load(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("ChoiceBlock(24, 24, 8", "ChoiceBlock(25, 24, 8", "block 1 has c_in=25, but block 0 gives 24 channels"),
        ("ChoiceBlock(24, 24, 8", "ChoiceBlock(24, 24, 7", "block 1 has size_px=7, but block 0 gives maps of 8 px"),
        ("ChoiceBlock(16, 24, 16", "ChoiceBlock(8, 24, 16", "block 0 has c_in=8, but the stem gives 16 channels"),
        (
            "ChoiceBlock(16, 24, 16",
            "ChoiceBlock(16, 24, 15",
            "has size_px=15, but the stem gives maps of 16 px",
        ),
        ("8, 1, choices", "8, 0, choices", "stride of block 1 is 0; it must be a whole number between 1 and"),
        ("8, 1, choices", "8.0, 1, choices", "size_px of block 1 is 8.0; it must be a whole number"),
        ("'fbnet', 3", "'fbnet', 'three'", "in_channels is 'three'; it must be a whole number"),
        ("32, 10", "32, 10**30", "classes is 1000000000000000000000000000000; it must be a whole number"),
        ("(first, second)", "[first, second]", "blocks must be a tuple of 1 to 1,000 ChoiceBlocks"),
        ("(first, second)", "()", "blocks must be a tuple of 1 to 1,000 ChoiceBlocks"),
        ("(first, second)", "(first, 2)", "block 1 is a int; it must be a ChoiceBlock"),
        ("Head(32)", "32", "head must be a Head"),
        ("Choice('k5e3'))", "Choice('k3e3'))", "choices of block 0 must have at least one entry and no duplicates"),
        ("Choice('k5e3'))", "'k5e3')", "the choices of block 0 must be a tuple of Choices"),
        ("'k5e3'", "'k5 e3'", "the op 'k5 e3' of block 0 cannot be used in an architecture's text"),
        ("'k5e3'", "'k5e3', float('inf')", "the width of k5e3 in block 0 is inf; it must be above 0"),
        ("'k5e3'", "'k5e3', w_bits=0", "k5e3 in block 0 has 0 bits; they must be between 1 and 32"),
    ],
)
def test_an_inconsistent_definition_names_the_block(
    old: str, new: str, problem: str, load: Callable[[str], SearchSpace]
) -> None:
    assert old in TWO_BLOCKS
    with pytest.raises(UnknownSpace, match=re.escape(problem)):
        load(HEAD + TWO_BLOCKS.replace(old, new))


def test_a_missing_file_is_named_with_its_control_characters_escaped(tmp_path: Path) -> None:
    with pytest.raises(UnknownSpace, match=re.escape(r"my\x1b[31m.py")) as caught:
        load_space(f"{tmp_path}/my\x1b[31m.py:mine")
    assert str(caught.value).isprintable()


def test_what_a_file_prints_does_not_reach_stdout(
    load: Callable[[str], SearchSpace], capsys: pytest.CaptureFixture[str]
) -> None:
    load(HEAD + TWO_BLOCKS + "print('hello')\n")
    assert capsys.readouterr() == ("", "hello\n")


def test_fixed_ops_and_widths_are_refused(load: Callable[[str], SearchSpace], tmp_path: Path) -> None:
    load(HEAD + TWO_BLOCKS)
    with pytest.raises(UnknownSpace, match="--fixed-ops and --widths do not apply"):
        load_space(f"{tmp_path / 'my.py'}:mine", widths="0.5")
