"""Rounds of measurements -> a judgment; more rounds are taken until the verdict is clear."""

import time
from collections.abc import Callable, Iterable
from math import ceil, exp, inf, log

from latency_db.errors import TargetMismatch
from toolchain.check.evidence import BASELINE, CANDIDATE, Evidence, Round, StoredRounds
from toolchain.check.findings import advice_on, judge_budget, judge_regression, slowdown_of_machine
from toolchain.check.outcome import Outcome
from toolchain.check.verdict import Judgment, Requirements
from toolchain.measuring.intervals import (
    Interval,
    LatencyStatistic,
    error_of_look,
    latency_interval,
    median_interval,
    min_rounds,
    ratio_interval,
)
from toolchain.units import format_ms

MAX_ROUNDS = 400
LOOK_GROWTH = 1.5  # each look has half as many rounds again as the one before
MIN_ROUNDS_ALONE = 50  # rounds of a file that is measured alone, so that they can serve as a baseline later


def judge_rounds(
    rounds: Iterable[Round],
    requirements: Requirements,
    stored: StoredRounds | None,
    statistic: LatencyStatistic,
    clock: Callable[[], float] = time.monotonic,
    report: Callable[[str], None] = lambda note: None,
) -> Judgment:
    """Take rounds until every finding is conclusive, or until the limit of time or rounds is reached.

    Noisy rounds do not count. Each look at the rounds uses its share of the error probability, so repeated looks do
    not increase it (`toolchain.measuring.intervals.error_of_look`).

    Args:
        rounds: samples of CANDIDATE, optionally of BASELINE (another build) and of ANCHOR.
        stored: rounds of an earlier measurement to compare with, if there is no other build.
        statistic: the latency of a file from its samples.
        clock: returns seconds.
        report: receives the current state after each round.
    """
    evidence, error, start = Evidence(statistic), 1 - requirements.confidence, clock()
    look, next_look = 1, 0
    for round_ in rounds:
        evidence.add(round_)
        next_look = next_look or _first_look(round_, error)
        seconds = clock() - start
        ended = seconds >= requirements.max_seconds or evidence.n_rounds >= MAX_ROUNDS
        if len(evidence.counted) < next_look and not ended:
            report(f"{len(evidence.counted)} rounds")
            continue
        judgment = judge(evidence, requirements, stored, error_of_look(look, error), seconds)
        report(_note(judgment))
        if ended or judgment.outcome is not Outcome.INCONCLUSIVE:
            return judgment
        look, next_look = look + 1, ceil(next_look * LOOK_GROWTH)
    raise AssertionError("there are fewer rounds than MAX_ROUNDS")


def _first_look(round_: Round, error: float) -> int:
    """The number of rounds before the first look."""
    return max(min_rounds(error_of_look(1, error)), 0 if BASELINE in round_ else MIN_ROUNDS_ALONE)


def judge(
    evidence: Evidence, requirements: Requirements, stored: StoredRounds | None, error: float, seconds: float
) -> Judgment:
    """One look at the rounds so far; each interval misses the true value with probability `error`."""
    latency_ms, ratio, baseline_ms = _measured(evidence, stored, error, 1 - requirements.confidence)
    advice, findings = advice_on(evidence, error, requirements, seconds), []
    if requirements.limit_ms is not None:
        budget = judge_budget(latency_ms, requirements, slowdown_of_machine(evidence, requirements), advice)
        findings.append(budget)
        if budget.outcome is Outcome.FAIL:
            advice = ""  # more rounds cannot change the verdict
    if ratio is not None and baseline_ms is not None:
        findings.append(judge_regression(ratio, latency_ms.middle, baseline_ms, requirements, advice))
    noisy_rounds = tuple(evidence.noisy_rounds)
    return Judgment(latency_ms, baseline_ms, ratio, tuple(findings), evidence.to_store(), noisy_rounds, seconds)


def _measured(
    evidence: Evidence, stored: StoredRounds | None, error: float, stored_error: float
) -> tuple[Interval, Interval | None, float | None]:
    """The latency, the ratio to the baseline, and the baseline's latency in ms; unknown if all rounds are noisy."""
    if evidence.counted:
        latency_ms = latency_interval([round_[CANDIDATE] for round_ in evidence.counted], evidence.statistic, error)
        return latency_ms, *_compare(evidence, stored, latency_ms.middle, error, stored_error)
    unknown = Interval(-inf, evidence.statistic([evidence.last[CANDIDATE]]), inf)
    if BASELINE in evidence.last or stored is not None:
        return unknown, Interval(0.0, 1.0, inf), unknown.middle
    return unknown, None, None


def _compare(
    evidence: Evidence, stored: StoredRounds | None, latency_ms: float, error: float, stored_error: float
) -> tuple[Interval | None, float | None]:
    """The ratio to the baseline, and the baseline's latency in ms at today's speed; None if there is no baseline."""
    if BASELINE in evidence.latencies_ms:
        ratio = ratio_interval(evidence.latencies_ms[CANDIDATE], evidence.latencies_ms[BASELINE], error)
        return ratio, evidence.latency_ms(BASELINE)
    if stored is not None:
        ratio = ratio_to_stored(evidence.to_store(), stored, error, stored_error)
        return ratio, latency_ms / ratio.middle
    return None, None


def ratio_to_stored(rounds: StoredRounds, stored: StoredRounds, error: float, stored_error: float) -> Interval:
    """The ratio to an earlier measurement, each in units of the anchor network that was timed in the same rounds.

    Half of each error probability is spent on the stored rounds, which are evaluated once, half on the new ones.

    Raises:
        TargetMismatch: the anchor network was timed in only one of the two.
    """
    if (rounds[0][1] is None) != (stored[0][1] is None):
        raise TargetMismatch(
            "the baseline and this measurement cannot be compared: only one of them timed the anchor network. "
            "Write a new baseline with nastool check --latency ... --json"
        )
    new = median_interval([log(_in_anchor_units(pair)) for pair in rounds], error / 2)
    old = median_interval([log(_in_anchor_units(pair)) for pair in stored], stored_error / 2)
    return Interval(new.low - old.high, new.middle - old.middle, new.high - old.low).map(exp)


def _in_anchor_units(pair: tuple[float, float | None]) -> float:
    ms, anchor_ms = pair
    return ms if anchor_ms is None else ms / anchor_ms


def _note(judgment: Judgment) -> str:
    rounds, ratio = f"{len(judgment.rounds)} rounds", judgment.ratio
    if ratio is None:
        return f"{rounds}, {format_ms(judgment.latency_ms.middle)}"
    return f"{rounds}, ratio {ratio.middle:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
