"""Candidates that the hold-out cannot tell apart: the largest of them wins."""

import pytest

from toolchain.costs.core import TableCost
from toolchain.search.preference import LargestOfTied
from toolchain.search.strategies import Scored, best_first
from toolchain.spaces.core import Architecture

MACS = {"a": 10.0, "b": 30.0, "c": 20.0, "d": 40.0}
LARGEST = LargestOfTied(TableCost("macs", "MACs", 0.0, (MACS,)), 100)


def scored(name: str, accuracy: float) -> Scored:
    return Scored(Architecture("s", (name,)), accuracy, 0, "random")


def names(candidates: list[Scored]) -> str:
    return "".join(candidate.architecture.choices[0] for candidate in candidates)


def test_the_largest_within_one_standard_error_comes_first() -> None:
    """At 80 % of 100 images the standard error is 4 points."""
    candidates = [scored("a", 0.8), scored("b", 0.765), scored("c", 0.79), scored("d", 0.759)]
    assert names(best_first(candidates)) == "acbd"
    assert names(LARGEST(candidates)) == "bcad"
    assert LARGEST.statement(candidates) == (
        "3 of 4 candidates are within one standard error (4.0%) of the most accurate; of these the one with the most "
        "MACs wins"
    )


def test_more_images_tell_more_apart() -> None:
    candidates = [scored("a", 0.8), scored("b", 0.765), scored("c", 0.79)]
    assert names(LargestOfTied(LARGEST.macs, 1_000)(candidates)) == "cab"  # 1.26 points
    assert names(LargestOfTied(LARGEST.macs, 100_000)(candidates)) == "acb"


@pytest.mark.parametrize("candidates", [[], [scored("a", 1.0)]])
def test_few_candidates(candidates: list[Scored]) -> None:
    assert LARGEST(candidates) == candidates
