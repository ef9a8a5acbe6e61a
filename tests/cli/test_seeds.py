"""`--seeds`: what can be given, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.errors import BadUnit
from toolchain.units import parse_seeds

Nastool = Callable[..., Any]


@pytest.mark.parametrize(
    ("text", "seeds"), [("0..4", (0, 1, 2, 3, 4)), ("7", (7,)), ("0,3,3, 7", (0, 3, 7)), (" 2..2 ", (2,))]
)
def test_seeds_as_text(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "4..0", "0..", "1,,2", "-1", "0..100", "0..999999999"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadUnit, match=r"cannot be read\. Write 1 to 100 of them, as in 0\.\.4 or 0,3,7"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train --seeds 0..1 --seed 2", "--seed and --seeds contradict each other. Leave out one of them"),
        ("search --seeds x --macs 1M", "the seeds 'x' cannot be read"),
        ("retrain --seeds 4..5", "runs/main-seed4/search/best.json does not exist yet"),
        ("retrain --seeds 4..5", "--run main-seed4 --seed 4 first"),
    ],
)
def test_refusals(words: str, expected: str, nastool: Nastool, tmp_path: Path) -> None:
    answer = nastool(*words.split(), "--data", "digits", "--space", "shufflenet_v2_quick", cwd=tmp_path)
    assert (answer.code, answer.stdout) == (2, "")
    assert expected in answer.stderr
    assert not (tmp_path / "runs").exists()
