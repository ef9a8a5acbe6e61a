"""Winners are measured before they are called winners."""

import pytest

from toolchain.costs.core import Limit, TableCost
from toolchain.errors import BudgetInfeasible
from toolchain.search.strategies import Scored
from toolchain.search.verify import MOST_MEASURED, Verified, journalled, verify
from toolchain.spaces.core import Architecture

LIMIT = Limit(TableCost("latency_ms", "ms", 0.0, ()), 10.0)


def arch(name: str) -> Architecture:
    return Architecture("space", (name,))


class Bench:
    """Candidates by name, best first: name -> (predicted, measured) in ms."""

    def __init__(self, **figures: tuple[float, float]) -> None:
        self.figures = figures
        self.measured: list[str] = []

    def scored(self) -> list[Scored]:
        best_first = [Scored(arch(name), 0.9 - n / 100, 0, "random") for n, name in enumerate(self.figures)]
        return best_first[::2] + best_first[1::2]  # in whatever order they were scored

    def predict(self, architecture: Architecture) -> float:
        return self.figures[architecture.choices[0]][0]

    def measure(self, architecture: Architecture) -> float:
        self.measured.append(architecture.choices[0])
        return self.figures[architecture.choices[0]][1]

    def verify(self, limit: Limit | None = LIMIT) -> Verified:
        return verify(self.scored(), limit, self.predict, self.measure)


def name(found: Verified) -> str:
    return found.winner.scored.architecture.choices[0]


def test_the_best_is_measured_once_and_taken() -> None:
    bench = Bench(a=(9.0, 10.0), b=(5.0, 5.0))
    found = bench.verify()
    assert (name(found), found.winner.predicted_ms, found.winner.measured_ms) == ("a", 9.0, 10.0)
    assert bench.measured == ["a"]
    assert found.passed_over == ()


def test_what_measures_over_is_passed_over_for_the_next_best() -> None:
    bench = Bench(a=(9.9, 10.001), b=(9.0, 9.4), c=(1.0, 1.0))
    found = bench.verify()
    assert name(found) == "b"
    assert bench.measured == ["a", "b"]
    assert [(m.scored.architecture, m.measured_ms) for m in found.passed_over] == [(arch("a"), 10.001)]


def test_a_prediction_that_is_over_once_corrected_is_not_measured() -> None:
    """a is 1.5 times slower than its parts' sum, so b would take 12 ms and c 9."""
    bench = Bench(a=(9.0, 13.5), b=(8.0, 1.0), c=(6.0, 9.0))
    assert name(bench.verify()) == "c"
    assert bench.measured == ["a", "c"]


def test_the_correction_is_the_median_of_what_was_seen() -> None:
    bench = Bench(a=(9.0, 18.0), b=(5.0, 10.5), c=(4.9, 10.1), d=(4.8, 9.0))
    # a: 2.0, so b at 5.0 x 2.0 is just within. b: 2.1, the middle is 2.05: c at 10.05 is over, d at 9.84 within
    assert name(bench.verify()) == "d"
    assert bench.measured == ["a", "b", "d"]


def test_before_giving_up_the_quickest_is_measured_all_the_same() -> None:
    """One measurement that was disturbed must not rule out all others."""
    bench = Bench(a=(2.0, 20.0), b=(1.9, 1.9), c=(1.5, 1.5), d=(1.8, 1.8))
    assert name(bench.verify()) == "c"
    assert bench.measured == ["a", "c"]


def test_nothing_fits() -> None:
    bench = Bench(a=(9.0, 13.0), b=(8.9, 12.0), c=(6.0, 11.25))
    with pytest.raises(BudgetInfeasible) as caught:
        bench.verify()
    assert bench.measured == ["a", "c"]
    text = str(caught.value)
    assert "no candidate measured within latency_ms <= 10.0 ms: 2 were compiled and timed" in text
    assert "the quickest at 11.2 ms" in text
    assert "lower --latency" in text


def test_measurements_are_bounded() -> None:
    """Each is predicted so much quicker than the one before that the ratio doesn't rule it out."""
    bench = Bench(**{f"c{n}": (9.0 / 2**n, 10.5) for n in range(30)})
    with pytest.raises(BudgetInfeasible, match=f"{MOST_MEASURED + 1} were compiled and timed"):
        bench.verify()
    assert bench.measured == [*(f"c{n}" for n in range(MOST_MEASURED)), "c29"]


def test_without_a_limit_the_best_is_measured_and_taken() -> None:
    bench = Bench(a=(9.0, 99.0), b=(5.0, 5.0))
    found = bench.verify(limit=None)
    assert (name(found), found.winner.measured_ms) == ("a", 99.0)


def test_of_equals_the_one_scored_first_wins() -> None:
    equals = [Scored(arch(key), 0.5, 0, "random") for key in "bac"]
    found = verify(equals, None, None, lambda _: 1.0)
    assert name(found) == "b"
    assert found.winner.predicted_ms is None


def test_known_measurements_are_not_taken_again_and_new_ones_are_kept() -> None:
    bench = Bench(a=(9.0, 10.0), b=(5.0, 5.0))
    kept: list[tuple[Architecture, float]] = []
    measure = journalled({arch("a"): 7.5}, bench.measure, lambda *pair: kept.append(pair))
    assert [measure(arch(key)) for key in "abab"] == [7.5, 5.0, 7.5, 5.0]
    assert bench.measured == ["b"]
    assert kept == [(arch("b"), 5.0)]
