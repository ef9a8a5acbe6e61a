"""The speed of a machine that wanders is found and taken out; where it can't be told, nothing is said."""

from math import exp
from random import Random
from statistics import fmean

import pytest

from latency_db.drift_correction import NEAR, correct_drift
from latency_db.table import Sample, summarize

PARTS = {f"part {number}": 1.0 + number / 4 for number in range(40)}


def sample(ms: float, place: int, noise_reason: str = "") -> Sample:
    return Sample(1, ms, ms, ms, ms, noise_reason=noise_reason, place=place)


def rounds_of(count: int, seed: int, noise: float = 0.0, wander: float = 0.0) -> list[dict[str, Sample]]:
    """Rounds of all parts in random order, on a machine whose speed wanders: 20 timings later it has forgotten most."""
    rng, rounds, speed = Random(seed), [], 0.0
    for _ in range(count):
        order = list(PARTS)
        rng.shuffle(order)
        round_ = {}
        for place, key in enumerate(order):
            speed = 0.95 * speed + rng.gauss(0, wander * (1 - 0.95**2) ** 0.5)  # of the spread `wander`
            round_[key] = sample(PARTS[key] * exp(speed + rng.gauss(0, noise)), place)
        rounds.append(round_)
    return rounds


def error(found: dict[str, float]) -> float:
    """How far the figures are from being in proportion to the truth."""
    ratios = [found[key] / PARTS[key] for key in PARTS]
    return fmean(abs(ratio / fmean(ratios) - 1) for ratio in ratios)


def least(rounds: list[dict[str, Sample]]) -> dict[str, float]:
    return {key: summarize([round_[key] for round_ in rounds], threads=1).latency_ms for key in PARTS}


def test_a_machine_that_does_not_wander_is_left_as_it_is() -> None:
    assert correct_drift(rounds_of(4, seed=0), threads=1) == PARTS


def test_most_of_the_error_of_a_wandering_speed_is_gone() -> None:
    """Noise and wandering as two CPUs of a shared machine had them (decision 0033)."""
    drawn = [rounds_of(6, seed, noise=0.01, wander=0.03) for seed in range(20)]
    errors = [(error(correct_drift(rounds, threads=1)), error(least(rounds))) for rounds in drawn]
    assert all(even < before for even, before in errors)
    assert fmean(even for even, _ in errors) < 0.6 * fmean(before for _, before in errors)


def test_the_level_is_that_of_the_least() -> None:
    rounds = rounds_of(6, seed=1, noise=0.01, wander=0.06)
    found, expected = correct_drift(rounds, threads=1), least(rounds)
    ratios = sorted(found[key] / expected[key] for key in PARTS)
    assert ratios[len(ratios) // 2 - 1] <= 1.0 <= ratios[len(ratios) // 2]


def test_order_in_a_mapping_does_not_matter_place_does() -> None:
    rounds = rounds_of(3, seed=2, noise=0.01, wander=0.06)
    assert correct_drift([dict(sorted(round_.items())) for round_ in rounds], threads=1) == correct_drift(
        rounds, threads=1
    )


def test_noisy_sample_is_ignored_if_quiet_ones_remain() -> None:
    rounds = rounds_of(4, seed=3, noise=0.01)
    hit = [dict(round_) for round_ in rounds]
    without = [{key: taken for key, taken in round_.items() if key != "part 7"} for round_ in rounds[:1]] + rounds[1:]
    hit[0]["part 7"] = sample(50.0, rounds[0]["part 7"].place, "interrupted")
    assert correct_drift(hit, threads=1) == correct_drift(without, threads=1)


@pytest.mark.parametrize("why", ["order", "parts"])
def test_where_no_speed_can_be_told_nothing_is_said(why: str) -> None:
    rounds = rounds_of(3, seed=4, wander=0.06)
    if why == "order":
        rounds[1]["part 3"] = sample(1.0, -1)
    else:
        some = list(PARTS)[: 2 * NEAR]
        rounds = [{key: round_[key] for key in some} for round_ in rounds]
    assert correct_drift(rounds, threads=1) == {}


def test_nothing_of_nothing() -> None:
    assert correct_drift([], threads=1) == {}
