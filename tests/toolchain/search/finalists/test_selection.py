"""The choice among the finalists of the last round, and what is said of it."""

from math import inf

import pytest

from toolchain.measuring.network import Measurement
from toolchain.search.candidate import Candidate
from toolchain.search.finalists.comparison import Comparison
from toolchain.search.finalists.halving import Result, Standing
from toolchain.search.finalists.selection import choose, statement
from toolchain.search.strategies import Scored
from toolchain.spaces.core import Architecture


def candidate(name: str, latency_ms: float | None) -> Candidate:
    scored = Scored(Architecture("space", (name,)), 0.5, 0, "random")
    measured = None if latency_ms is None else Measurement(latency_ms, latency_ms * 1.01, "", None)
    return Candidate(scored, None, None, measured)


def result(
    *latencies_ms: float | None, differences: tuple[float, ...], error: float, degrees: float = 30, trainings: int = 3
) -> Result[Candidate]:
    networks = [candidate(f"n{number}", latency) for number, latency in enumerate(latencies_ms)]
    accuracies = (0.9, *(0.9 - difference for difference in differences))
    standings = tuple(
        Standing(network, trainings, accuracy) for network, accuracy in zip(networks, accuracies, strict=True)
    )
    return Result(standings, (), tuple(Comparison(difference, error, degrees) for difference in differences))


@pytest.mark.parametrize(
    ("latencies_ms", "differences", "taken"),
    [
        ((2.0, 1.0), (0.0009,), "n1"),  # within one standard error: the faster
        ((2.0, 1.0), (0.0011,), "n0"),  # beyond it: the more accurate
        ((1.0, 2.0), (0.0001,), "n0"),
        ((3.0, 1.0, 2.0), (0.0020, 0.0021), "n0"),
        ((3.0, 2.0, 1.0), (0.0005, 0.0009), "n2"),
        ((None, None), (0.0005,), "n0"),  # without a latency, the more accurate
    ],
)
def test_the_fastest_within_one_standard_error(
    latencies_ms: tuple[float | None, ...], differences: tuple[float, ...], taken: str
) -> None:
    chosen = choose(result(*latencies_ms, differences=differences, error=0.001))
    assert chosen.scored.architecture.choices == (taken,)


def test_after_one_training_each_the_most_accurate_is_taken() -> None:
    once = result(2.0, 1.0, differences=(0.0001,), error=inf, degrees=1, trainings=1)
    assert choose(once).scored.architecture.choices == ("n0",)
    assert statement(once, choose(once)) == (
        "the first 2 were trained once each, which is too few to tell them apart; the most accurate of them was taken"
    )


def test_statement_of_a_separated_winner() -> None:
    separated = result(2.0, 1.0, differences=(0.006,), error=0.001)
    assert statement(separated, choose(separated)) == (
        "the winner is better than the runner-up by 0.60 +- 0.20 points of hold-out accuracy (95 % interval, 3 "
        "trainings each)"
    )


def test_statement_of_a_tie() -> None:
    tied = result(2.0, 1.0, differences=(0.0005,), error=0.001)
    assert statement(tied, choose(tied)) == (
        "the first 2 cannot be told apart: the best two differ by 0.05 +- 0.20 points (95 % interval, 3 trainings "
        "each); the fastest of them within one standard error of the most accurate was taken"
    )


def test_two_trainings_give_no_interval() -> None:
    tied = result(2.0, 1.0, differences=(0.0005,), error=0.001, degrees=1, trainings=2)
    assert statement(tied, choose(tied)) == (
        "the first 2 cannot be told apart after 2 trainings each, which are too few for a useful interval; the fastest "
        "of them within one standard error of the most accurate was taken"
    )
