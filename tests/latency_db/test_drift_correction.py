"""Drift correction removes changes of the machine's speed; without enough information it returns nothing."""

from math import exp
from random import Random
from statistics import fmean

import pytest

from latency_db.drift_correction import correct_drift
from latency_db.table import Sample, summarize

RECORDS = {f"record {number}": 1.0 + number / 4 for number in range(40)}


def sample(ms: float, place: int, noise_reason: str = "") -> Sample:
    return Sample(1, ms, ms, ms, ms, noise_reason=noise_reason, place=place)


def rounds_of(count: int, seed: int, noise: float = 0.0, drift: float = 0.0) -> list[dict[str, Sample]]:
    """Rounds of all records in random order on a machine whose speed drifts (correlation 0.95 between timings)."""
    rng, rounds, speed = Random(seed), [], 0.0
    for _ in range(count):
        order = list(RECORDS)
        rng.shuffle(order)
        round_ = {}
        for place, key in enumerate(order):
            speed = 0.95 * speed + rng.gauss(0, drift * (1 - 0.95**2) ** 0.5)  # with standard deviation `drift`
            round_[key] = sample(RECORDS[key] * exp(speed + rng.gauss(0, noise)), place)
        rounds.append(round_)
    return rounds


def error(corrected: dict[str, float]) -> float:
    """The mean relative deviation from being proportional to the true latencies."""
    ratios = [corrected[key] / RECORDS[key] for key in RECORDS]
    return fmean(abs(ratio / fmean(ratios) - 1) for ratio in ratios)


def least(rounds: list[dict[str, Sample]]) -> dict[str, float]:
    return {key: summarize([round_[key] for round_ in rounds], threads=1).latency_ms for key in RECORDS}


def test_constant_speed_changes_nothing() -> None:
    assert correct_drift(rounds_of(4, seed=0), threads=1) == RECORDS


def test_most_of_the_error_of_drift_is_removed() -> None:
    """Noise and drift as measured on two CPUs of a shared machine (decision 0033)."""
    drawn = [rounds_of(6, seed, noise=0.01, drift=0.03) for seed in range(20)]
    errors = [(error(correct_drift(rounds, threads=1)), error(least(rounds))) for rounds in drawn]
    assert all(even < before for even, before in errors)
    assert fmean(even for even, _ in errors) < 0.6 * fmean(before for _, before in errors)


def test_level_is_that_of_the_minimum() -> None:
    rounds = rounds_of(6, seed=1, noise=0.01, drift=0.06)
    corrected, expected = correct_drift(rounds, threads=1), least(rounds)
    ratios = sorted(corrected[key] / expected[key] for key in RECORDS)
    assert ratios[len(ratios) // 2 - 1] <= 1.0 <= ratios[len(ratios) // 2]


def test_place_and_not_the_order_of_the_mapping_counts() -> None:
    rounds = rounds_of(3, seed=2, noise=0.01, drift=0.06)
    assert correct_drift([dict(sorted(round_.items())) for round_ in rounds], threads=1) == correct_drift(
        rounds, threads=1
    )


def test_noisy_sample_is_ignored_if_quiet_ones_remain() -> None:
    rounds = rounds_of(4, seed=3, noise=0.01)
    hit = [dict(round_) for round_ in rounds]
    without = [{key: taken for key, taken in round_.items() if key != "record 7"} for round_ in rounds[:1]] + rounds[1:]
    hit[0]["record 7"] = sample(50.0, rounds[0]["record 7"].place, "interrupted")
    assert correct_drift(hit, threads=1) == correct_drift(without, threads=1)


@pytest.mark.parametrize("why", ["order", "records"])
def test_unknown_order_or_too_few_records_return_nothing(why: str) -> None:
    rounds = rounds_of(3, seed=4, drift=0.06)
    if why == "order":
        rounds[1]["record 3"] = sample(1.0, -1)
    else:
        some = list(RECORDS)[:6]
        rounds = [{key: round_[key] for key in some} for round_ in rounds]
    assert correct_drift(rounds, threads=1) == {}


def test_no_rounds() -> None:
    assert correct_drift([], threads=1) == {}


def test_speed_is_estimated_from_three_neighbors_on_each_side() -> None:
    """Two rounds whose speed changes at different rates; the expected values differ for 2 or 4 neighbors.

    With 2 the first and last are 0.708715 and 4.798510, with 4 they are 0.756503 and 4.487094.
    """
    true_ms = {"a": 1.0, "b": 1.1, "c": 1.2, "d": 1.3, "e": 1.4, "f": 1.5, "g": 1.6, "h": 1.7, "i": 1.8}
    slowing = {key: sample(ms * (1 + 0.1 * place**2), place) for place, (key, ms) in enumerate(true_ms.items())}
    backwards = enumerate(reversed(true_ms.items()))
    speeding_up = {key: sample(ms * (1.5 - 0.05 * place), place) for place, (key, ms) in backwards}
    corrected = correct_drift([slowing, speeding_up], threads=1)
    assert (corrected["a"], corrected["e"], corrected["i"]) == pytest.approx((0.730678, 1.82, 4.6112), rel=1e-5)
