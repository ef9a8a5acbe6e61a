"""Verdicts on rounds whose truth is known."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest

from exporters.graph.anchor import KEY as ANCHOR
from latency_db.errors import TargetMismatch
from latency_db.table import Sample
from toolchain.check.judge import MAX_ROUNDS, MIN_ROUNDS_ALONE, judge_rounds
from toolchain.check.outcome import Outcome
from toolchain.check.verdict import Judgment, Requirements
from toolchain.measuring.intervals import latency_statistic

RUNS = 200
Rounds = Iterator[dict[str, Sample]]


def sample(ms: float, noise_reason: str = "") -> Sample:
    return Sample(1, ms, ms, ms, ms, (ms,), noise_reason)


def ticking(step_s: float) -> Callable[[], float]:
    ticks = count()
    return lambda: next(ticks) * step_s


def settled(rounds: Rounds, terms: Requirements, step_s: float = 0.1, **given: object) -> Judgment:
    """Each round takes `step_s` seconds."""
    stored = given.get("stored")
    return judge_rounds(rounds, terms, stored, latency_statistic(1), clock=ticking(step_s))  # type: ignore[arg-type]


def verdicts(pairs: Callable[..., Rounds], noise: float, slower_by: float) -> Counter[str]:
    terms = Requirements(limit_ms=None, max_regression=0.02, confidence=0.99, max_seconds=60.0)
    return Counter(settled(pairs(noise, slower_by, seed), terms).outcome for seed in range(RUNS))


@pytest.mark.long
@pytest.mark.parametrize("noise", [0.02, 0.08])
def test_the_same_file_twice_raises_no_alarm(noise: float, pairs: Callable[..., Rounds]) -> None:
    """At most 1 % of 200 runs, before any is confirmed; and it doesn't get there by never answering."""
    outcomes = verdicts(pairs, noise, 0.0)
    assert outcomes[Outcome.FAIL] <= 0.01 * RUNS
    assert outcomes[Outcome.PASS] >= 0.95 * RUNS


@pytest.mark.parametrize("noise", [0.02, 0.08])
def test_five_percent_slower_is_detected(noise: float, pairs: Callable[..., Rounds]) -> None:
    """At least 95 % of 200 runs where 2 % are let pass."""
    assert verdicts(pairs, noise, 0.05)[Outcome.FAIL] >= 0.95 * RUNS


@pytest.mark.long
def test_at_the_allowed_slowdown_an_alarm_stays_rare() -> None:
    """The hardest case for looking often: of an error of 10 %, half is on this side, whenever one stops."""
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(RUNS):
        ratios = 1.02 * np.exp(rng.normal(0, 0.05, size=MAX_ROUNDS))
        rounds = ({"candidate": sample(ratio), "baseline": sample(1.0)} for ratio in ratios)
        alarms += settled(rounds, Requirements(None, 0.02, 0.9, 1e9)).outcome is Outcome.FAIL
    assert alarms <= 0.05 * RUNS


def test_a_restless_machine_gets_more_rounds(pairs: Callable[..., Rounds]) -> None:
    terms = Requirements(None, 0.02, 0.99, 60.0)
    calm, restless = (settled(pairs(noise, 0.0, 1), terms) for noise in (0.001, 0.2))
    assert len(calm.rounds) < len(restless.rounds)
    assert restless.ratio is not None
    assert calm.ratio is not None
    assert calm.ratio.low <= 1 <= calm.ratio.high
    assert restless.ratio.low <= 1 <= restless.ratio.high


def test_without_time_there_is_no_answer(pairs: Callable[..., Rounds]) -> None:
    judged = settled(pairs(0.02, 0.05, 0), Requirements(None, 0.02, 0.99, max_seconds=0.45))
    assert judged.outcome is Outcome.INCONCLUSIVE
    (finding,) = judged.findings
    assert "inconclusive whether it is slower than the baseline by more than 2.0%" in finding.text
    assert "5 rounds in 0 s, and 9 are needed. Give more time, e.g. --max-seconds 4" in finding.text


def test_looks_grow_by_half() -> None:
    """From 9 rounds, the fewest that bound a median at the first look's share of 1 %, to the maximum of 400."""
    looks: list[str] = []
    tie = ({"candidate": sample(1.02 + 0.01 * (-1) ** n), "baseline": sample(1.0)} for n in count())
    requirements = Requirements(None, 0.02, 0.99, 1e9)
    judge_rounds(tie, requirements, None, latency_statistic(1), clock=ticking(0.1), report=looks.append)
    rounds = [int(note.split()[0]) for note in looks if "ratio" in note]
    assert rounds == [9, 14, 21, 32, 48, 72, 108, 162, 243, 365, 400]


def test_no_more_time_is_advised_if_every_round_is_over_the_budget() -> None:
    rounds = ({"candidate": sample(3.0)} for _ in count())
    judgment = settled(rounds, Requirements(1.0, 0.05, 0.99, max_seconds=0.45))
    assert judgment.outcome is Outcome.INCONCLUSIVE
    assert judgment.findings[0].text == (
        "inconclusive whether it is over the budget: 3.000 ms measured, 1.000 ms allowed. 5 rounds in 0 s, each over "
        "the budget. Allow a higher latency, or use a faster network"
    )


def test_no_more_time_is_advised_for_a_regression_if_the_budget_failed() -> None:
    tie = ({"candidate": sample(1.05 + 0.01 * (-1) ** n), "baseline": sample(1.0)} for n in count())
    judgment = settled(tie, Requirements(0.5, 0.05, 0.99, 60.0))
    budget, regression = judgment.findings
    assert (budget.outcome, regression.outcome) == (Outcome.FAIL, Outcome.INCONCLUSIVE)
    assert regression.text.endswith("ratio 1.060 (1.040 to 1.060 at 99 %)")


def test_an_endless_tie_ends() -> None:
    tie = ({"candidate": sample(1.02 + 0.01 * (-1) ** n), "baseline": sample(1.0)} for n in count())
    judged = settled(tie, Requirements(None, 0.02, 0.99, 1e9))
    assert judged.outcome is Outcome.INCONCLUSIVE
    assert len(judged.rounds) == MAX_ROUNDS


def test_noisy_rounds_do_not_count() -> None:
    """A throttled half of the rounds would make it ten times as slow."""
    rounds = (
        {"candidate": sample(10.0, "throttled"), "baseline": sample(1.0)}
        if n % 2
        else {"candidate": sample(1.0 + n * 1e-6), "baseline": sample(1.0)}
        for n in count()
    )
    judged = settled(rounds, Requirements(None, 0.02, 0.99, 60.0))
    assert judged.outcome is Outcome.PASS
    assert len(judged.rounds) == 9
    assert judged.noisy_rounds == ("throttled",) * 8


def test_nothing_but_noisy_rounds_is_no_answer_and_says_why() -> None:
    rounds = ({"candidate": sample(1.0, "the device throttled"), "baseline": sample(1.0)} for _ in count())
    judged = settled(rounds, Requirements(None, 0.02, 0.99, 3.0))
    assert judged.outcome is Outcome.INCONCLUSIVE
    assert "the device throttled). Use an idle machine" in judged.findings[0].text


@pytest.mark.parametrize(
    ("limit_ms", "outcome"), [(1.2, Outcome.PASS), (0.9, Outcome.FAIL), (1.0005, Outcome.INCONCLUSIVE)]
)
def test_a_budget_is_met_or_broken_by_the_whole_interval(limit_ms: float, outcome: Outcome) -> None:
    rng = np.random.default_rng(3)
    rounds = ({"candidate": sample(1.001 + 0.1 * rng.random())} for _ in count())
    judged = settled(rounds, Requirements(limit_ms, 0.05, 0.99, max_seconds=8.0))
    assert judged.outcome is outcome
    assert (judged.ratio, judged.baseline_ms) == (None, None)
    if outcome is not Outcome.INCONCLUSIVE:
        assert len(judged.rounds) == MIN_ROUNDS_ALONE  # enough to be a baseline later


@pytest.mark.parametrize(("file_ms", "outcome"), [(1.04, Outcome.INCONCLUSIVE), (1.10, Outcome.FAIL)])
def test_a_slower_machine_breaks_no_budget(file_ms: float, outcome: Outcome) -> None:
    """The anchor network takes 5 % longer than when 1 ms was met: so much is the machine's, and no more."""
    rng = np.random.default_rng(3)
    noise = iter(lambda: 1 + 0.005 * rng.random(), None)
    rounds = ({"candidate": sample(file_ms * next(noise)), ANCHOR: sample(2.1 * next(noise))} for _ in count())
    judged = settled(rounds, Requirements(1.0, 0.05, 0.99, max_seconds=8.0, anchor_ms=2.0))
    assert judged.outcome is outcome
    assert ("takes 5.0% longer" in judged.findings[0].text) == (outcome is Outcome.INCONCLUSIVE)


def test_one_failure_fails_whatever_else_is_unclear(pairs: Callable[..., Rounds]) -> None:
    judged = settled(pairs(0.01, 0.0, 0), Requirements(1e-6, 0.05, 0.99, 60.0))
    assert [finding.outcome for finding in judged.findings] == [Outcome.FAIL, Outcome.PASS]
    assert judged.outcome is Outcome.FAIL


def test_a_stored_baseline_is_compared_in_units_of_the_reference_network() -> None:
    """The machine runs at two thirds of its clock today: in ms the file is slower by half, and it is not."""
    rng = np.random.default_rng(5)
    stored = [(ms, ms * 2) for ms in 1 + 0.01 * rng.random(50)]
    rounds = ({"candidate": sample(1.5 * ms), "anchor": sample(3.0 * ms)} for ms in 1 + 0.01 * rng.random(1000))
    judged = settled(rounds, Requirements(None, 0.02, 0.99, 60.0), stored=stored)
    assert judged.outcome is Outcome.PASS
    assert judged.ratio is not None
    assert judged.ratio.middle == pytest.approx(1.0)
    assert judged.baseline_ms == pytest.approx(1.5, rel=0.01)  # what it would be today


@pytest.mark.parametrize(("slower_by", "outcome"), [(0.0, Outcome.PASS), (0.05, Outcome.FAIL)])
def test_against_a_stored_baseline(slower_by: float, outcome: Outcome) -> None:
    """The rounds of two processes share no mood, so both sides' own intervals count."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        stored = [(1 + 0.02 * abs(noise), None) for noise in rng.normal(size=50)]
        noises = np.abs(rng.normal(size=1000))
        rounds = ({"candidate": sample((1 + slower_by) * (1 + 0.02 * noise))} for noise in noises)
        assert settled(rounds, Requirements(None, 0.02, 0.99, 60.0), stored=stored).outcome is outcome


def test_a_baseline_without_reference_network_is_of_another_protocol() -> None:
    rounds = ({"candidate": sample(1.0), "anchor": sample(1.0)} for _ in count())
    with pytest.raises(TargetMismatch, match="only one of them timed the anchor network"):
        settled(rounds, Requirements(None, 0.02, 0.99, 60.0), stored=[(1.0, None)] * 20)


def test_the_same_rounds_give_the_same_verdict(pairs: Callable[..., Rounds]) -> None:
    terms = Requirements(None, 0.02, 0.99, 60.0)
    assert settled(pairs(0.03, 0.0, 4), terms) == settled(pairs(0.03, 0.0, 4), terms)
