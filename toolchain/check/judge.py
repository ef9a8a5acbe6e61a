"""Rounds of measurements -> pass, fail, or inconclusive; more rounds are taken until the verdict is clear."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, exp, inf, log

from exporters.graph.anchor import KEY as ANCHOR
from exporters.timing import INTERRUPTED
from latency_db.errors import TargetMismatch
from latency_db.table import Sample
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

CANDIDATE, BASELINE = "candidate", "baseline"
COUNTED = frozenset({"", INTERRUPTED})  # noise that does not exclude a sample
MAX_ROUNDS = 400
LOOK_GROWTH = 1.5  # each look has half as many rounds again as the one before
MIN_ROUNDS_ALONE = 50  # rounds of a file that is measured alone, so that they can serve as a baseline later

Round = Mapping[str, Sample]
StoredRounds = Sequence[tuple[float, float | None]]  # of each round: ms of the file, ms of the anchor network


class Outcome(StrEnum):
    """The three verdicts."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Requirements:
    """What a file has to fulfill.

    Args:
        limit_ms: maximum latency of a batch, or None.
        max_regression: maximum slowdown against the baseline, as a fraction.
        confidence: probability, 0 to 1, with which an interval contains the true value.
        max_seconds: time limit; the verdict is returned even if it is inconclusive.
        anchor_ms: latency of the anchor network when the limit was met, or None if unknown.
    """

    limit_ms: float | None
    max_regression: float
    confidence: float
    max_seconds: float
    anchor_ms: float | None = None


@dataclass(frozen=True)
class Finding:
    """The verdict on one requirement, `budget` or `regression`, with a sentence that explains it."""

    about: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Judgment:
    """Measured values and the verdicts on them.

    Args:
        latency_ms: of the file, by the statistic of the latency table.
        baseline_ms: of the baseline; None if there is none.
        ratio: of the file to the baseline; None if there is none.
        rounds: ms of the file and of the anchor network (None if it was not timed) in each counted round.
        noisy_rounds: why each of the other rounds is not counted.
    """

    latency_ms: Interval
    baseline_ms: float | None
    ratio: Interval | None
    findings: tuple[Finding, ...]
    rounds: StoredRounds
    noisy_rounds: tuple[str, ...]
    seconds: float

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the findings; a failure outweighs an inconclusive finding."""
        outcomes = {finding.outcome for finding in self.findings}
        return next((bad for bad in (Outcome.FAIL, Outcome.INCONCLUSIVE) if bad in outcomes), Outcome.PASS)


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


def noise_reason_of(round_: Round) -> str:
    """Why a round is not counted; empty if it is."""
    # an interruption affects all files of a round alike, and busy time is compared
    return max({sample.noise_reason for sample in round_.values()} - COUNTED, default="")


class Evidence:
    """The rounds so far: counted rounds, the latency in ms of each file in them, and the noise of the others."""

    def __init__(self, statistic: LatencyStatistic) -> None:
        self.statistic = statistic
        self.counted: list[Round] = []
        self.latencies_ms: dict[str, list[float]] = defaultdict(list)
        self.noisy_rounds: list[str] = []
        self.last: Round = {}

    @property
    def n_rounds(self) -> int:
        """The number of all rounds, noisy ones included."""
        return len(self.counted) + len(self.noisy_rounds)

    def add(self, round_: Round) -> None:
        """Add a round."""
        self.last = round_
        if reason := noise_reason_of(round_):
            self.noisy_rounds.append(reason)
            return
        self.counted.append(round_)
        for key, sample in round_.items():
            self.latencies_ms[key].append(self.statistic([sample]))

    def latency_ms(self, key: str) -> float:
        """The latency of a file over all counted rounds."""
        return self.statistic([round_[key] for round_ in self.counted])

    def to_store(self) -> StoredRounds:
        """Candidate and anchor network in each counted round, which later checks can compare with."""
        anchors_ms: Sequence[float | None] = self.latencies_ms.get(ANCHOR) or [None] * len(self.counted)
        return list(zip(self.latencies_ms[CANDIDATE], anchors_ms, strict=True))


def judge(
    evidence: Evidence, requirements: Requirements, stored: StoredRounds | None, error: float, seconds: float
) -> Judgment:
    """One look at the rounds so far; each interval misses the true value with probability `error`."""
    if not evidence.counted:  # a latency is shown even if all rounds are noisy
        unknown = Interval(-inf, evidence.statistic([evidence.last[CANDIDATE]]), inf)
        latency_ms, ratio, baseline_ms = unknown, None, None
        if BASELINE in evidence.last or stored is not None:
            ratio, baseline_ms = Interval(0.0, 1.0, inf), unknown.middle
    else:
        latency_ms = latency_interval([round_[CANDIDATE] for round_ in evidence.counted], evidence.statistic, error)
        ratio, baseline_ms = _compare(evidence, stored, latency_ms.middle, error, 1 - requirements.confidence)
    advice, findings = _advice(evidence, error, requirements, seconds), []
    if requirements.limit_ms is not None:
        budget = judge_budget(latency_ms, requirements, _slowdown_of_machine(evidence, requirements), advice)
        findings.append(budget)
        if budget.outcome is Outcome.FAIL:
            advice = ""  # more rounds cannot change the verdict
    if ratio is not None and baseline_ms is not None:
        findings.append(judge_regression(ratio, latency_ms.middle, baseline_ms, requirements, advice))
    noisy_rounds = tuple(evidence.noisy_rounds)
    return Judgment(latency_ms, baseline_ms, ratio, tuple(findings), evidence.to_store(), noisy_rounds, seconds)


def _slowdown_of_machine(evidence: Evidence, requirements: Requirements) -> float:
    """Latency of the anchor network now, relative to when the limit was met; 1 if that is unknown."""
    if requirements.anchor_ms is None or ANCHOR not in evidence.latencies_ms:
        return 1.0
    return evidence.latency_ms(ANCHOR) / requirements.anchor_ms


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


def judge_budget(latency_ms: Interval, requirements: Requirements, slowdown: float, advice: str) -> Finding:
    """Pass if the whole interval is within the budget, fail if the whole interval is over it.

    It does not fail if the file would be within the budget at the speed that the machine had when the budget was met:
    the anchor network takes `slowdown` times as long now.
    """
    assert requirements.limit_ms is not None
    limit_ms = requirements.limit_ms
    outcome = _outcome(latency_ms, limit_ms)
    if outcome is Outcome.FAIL and latency_ms.low <= limit_ms * slowdown:
        outcome = Outcome.INCONCLUSIVE
        advice = (
            f"The anchor network also takes {slowdown - 1:.1%} longer than when the budget was met, so the machine "
            f"is slower now. Repeat the check when the machine is idle"
        )
    allowed = f"{format_ms(limit_ms)} allowed"
    measured = f"{format_ms(latency_ms.middle)} measured{_range(latency_ms, format_ms, requirements.confidence)}"
    texts = {
        Outcome.PASS: f"within the budget: {measured}, {allowed}",
        Outcome.FAIL: f"over the budget: {measured}, {allowed}",
        Outcome.INCONCLUSIVE: _sentences(f"inconclusive whether it is over the budget: {measured}, {allowed}", advice),
    }
    return Finding("budget", outcome, texts[outcome])


def judge_regression(
    ratio: Interval, measured_ms: float, baseline_ms: float, requirements: Requirements, advice: str
) -> Finding:
    """Pass if the whole interval of the ratio is within the allowed slowdown, fail if the whole interval is over it."""
    allowed = requirements.max_regression
    outcome = _outcome(ratio, 1 + allowed)
    change = "slower" if ratio.middle > 1 else "faster"
    measured = f"ratio {ratio.middle:.3f}{_range(ratio, '{:.3f}'.format, requirements.confidence)}"
    clear = (
        f"{change} than the baseline by {abs(ratio.middle - 1):.1%}, {measured}: {format_ms(measured_ms)} measured, "
        f"{format_ms(baseline_ms)} before, {allowed:.1%} allowed"
    )
    unclear = f"inconclusive whether it is slower than the baseline by more than {allowed:.1%}: {measured}"
    return Finding("regression", outcome, _sentences(unclear, advice) if outcome is Outcome.INCONCLUSIVE else clear)


def _sentences(*texts: str) -> str:
    return ". ".join(filter(None, texts))


def _outcome(interval: Interval, maximum: float) -> Outcome:
    if interval.high <= maximum:
        return Outcome.PASS
    return Outcome.FAIL if interval.low > maximum else Outcome.INCONCLUSIVE


def _range(interval: Interval, format_value: Callable[[float], str], confidence: float) -> str:
    if interval.high == inf:
        return ""
    return f" ({format_value(interval.low)} to {format_value(interval.high)} at {confidence * 100:.4g} %)"


def _advice(evidence: Evidence, error: float, requirements: Requirements, seconds: float) -> str:
    """Why the result is inconclusive, and what to do about it."""
    rounds, noisy = len(evidence.counted), evidence.noisy_rounds
    so_far = f"{rounds} round{'s' if rounds != 1 else ''} in {seconds:.0f} s"
    if noisy:
        reason, times = Counter(noisy).most_common(1)[0]
        return f"{so_far}, and {len(noisy)} noisy ones ({times} times: {reason}). Use an idle machine"
    if rounds < min_rounds(error) and _all_over_budget(evidence, requirements):
        return f"{so_far}, each over the budget. Allow a higher latency, or use a faster network"
    if rounds < min_rounds(error):
        more = ceil(seconds) * 4
        return f"{so_far}, and {min_rounds(error)} are needed. Give more time, e.g. --max-seconds {more}"
    more = ceil(requirements.max_seconds) * 4
    return f"{so_far}. Give more time, e.g. --max-seconds {more}, or use an idle machine"


def _all_over_budget(evidence: Evidence, requirements: Requirements) -> bool:
    """Whether every round is over the budget, at the speed that the machine had when the budget was met."""
    if requirements.limit_ms is None or not evidence.counted:
        return False
    limit_ms = requirements.limit_ms * max(1.0, _slowdown_of_machine(evidence, requirements))
    return min(evidence.latencies_ms[CANDIDATE]) > limit_ms


def _in_anchor_units(pair: tuple[float, float | None]) -> float:
    ms, anchor_ms = pair
    return ms if anchor_ms is None else ms / anchor_ms


def _note(judgment: Judgment) -> str:
    rounds, ratio = f"{len(judgment.rounds)} rounds", judgment.ratio
    if ratio is None:
        return f"{rounds}, {format_ms(judgment.latency_ms.middle)}"
    return f"{rounds}, ratio {ratio.middle:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
