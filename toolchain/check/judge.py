"""Rounds of measurements -> pass, fail, or too restless to tell; more rounds until the answer is clear."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, exp, inf, log

from exporters.graph.anchor import KEY as REFERENCE
from exporters.timing import INTERRUPTED
from latency_db.errors import TargetMismatch
from latency_db.table import Sample
from toolchain.measuring.intervals import (
    Figure,
    Interval,
    error_of_look,
    latency_interval,
    least_rounds,
    median_interval,
    ratio_interval,
)
from toolchain.units import format_ms

CANDIDATE, BASELINE = "candidate", "baseline"
COUNTED = frozenset({"", INTERRUPTED})  # noise that does not exclude a sample
MOST_ROUNDS = 400
GROWTH = 1.5  # each look has half as many rounds again as the one before
LEAST_ALONE = 50  # rounds of a file without another build beside it: later checks compare with what is kept of them

Round = Mapping[str, Sample]
Stored = Sequence[tuple[float, float | None]]  # of each round: ms of the file, ms of the anchor network


class Outcome(StrEnum):
    """The three answers."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Terms:
    """What is asked of a file.

    Args:
        limit_ms: the most a batch may take, or None.
        slack: how much slower than the baseline is let pass, as a fraction.
        confidence: the probability, 0 to 1, with which an interval holds the truth.
        max_seconds: after these an answer is due, clear or not.
        anchor_ms: the time of the anchor network when the limit was met, or None if unknown.
    """

    limit_ms: float | None
    slack: float
    confidence: float
    max_seconds: float
    anchor_ms: float | None = None


@dataclass(frozen=True)
class Finding:
    """The answer to one question, `budget` or `regression`, in a word and in a sentence."""

    about: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Judged:
    """What was measured, and what follows from it.

    Args:
        latency_ms: of the file, by the latency table's statistic.
        baseline_ms, ratio: of what it was compared with; None where it was not.
        rounds: ms of the file and of the anchor network (None where there is none) in each round that counts.
        noisy_rounds: why other rounds don't count, one text each.
    """

    latency_ms: Interval
    baseline_ms: float | None
    ratio: Interval | None
    findings: tuple[Finding, ...]
    rounds: Stored
    noisy_rounds: tuple[str, ...]
    seconds: float

    @property
    def outcome(self) -> Outcome:
        """A failure is one whatever else is unclear."""
        found = {finding.outcome for finding in self.findings}
        return next((bad for bad in (Outcome.FAIL, Outcome.INCONCLUSIVE) if bad in found), Outcome.PASS)


def settle(
    rounds: Iterable[Round],
    terms: Terms,
    stored: Stored | None,
    figure: Figure,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[str], None] = lambda note: None,
) -> Judged:
    """Take rounds until each question is answered, or time or rounds are up.

    Noisy rounds do not count. Each look has its part of the error that `terms.confidence` leaves, so
    looking often does no harm (`toolchain.measuring.intervals.error_of_look`).

    Args:
        rounds: samples of CANDIDATE, maybe of BASELINE (another build) and of REFERENCE.
        stored: the rounds of an earlier measurement to compare with, where there is no other build.
        figure: of the samples of a file, one a round, its latency.
        clock: seconds.
        tell: is told how it stands after each round.
    """
    seen, error, look, due, began = Seen(figure), 1 - terms.confidence, 1, 0, clock()
    for round_ in rounds:
        seen.add(round_)
        due = due or max(least_rounds(error_of_look(1, error)), 0 if BASELINE in round_ else LEAST_ALONE)
        seconds = clock() - began
        ended = seconds >= terms.max_seconds or len(seen.counted) + len(seen.noisy_rounds) >= MOST_ROUNDS
        if len(seen.counted) < due and not ended:
            tell(f"{len(seen.counted)} rounds")
            continue
        judged = judge(seen, terms, stored, error_of_look(look, error), seconds)
        tell(_note(judged))
        if ended or judged.outcome is not Outcome.INCONCLUSIVE:
            return judged
        look, due = look + 1, ceil(due * GROWTH)
    raise AssertionError("there are more rounds than are asked for")


def noise_reason_of(round_: Round) -> str:
    """Why a round doesn't count; empty where it does."""
    # an interruption costs all that is compared alike, and what is compared is busy time
    return max({sample.noise_reason for sample in round_.values()} - COUNTED, default="")


class Seen:
    """The rounds so far: those that count, each file's figure (ms) in them, and why others don't count."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.counted: list[Round] = []
        self.figures: dict[str, list[float]] = defaultdict(list)
        self.noisy_rounds: list[str] = []
        self.last: Round = {}

    def add(self, round_: Round) -> None:
        """One more."""
        self.last = round_
        if reason := noise_reason_of(round_):
            self.noisy_rounds.append(reason)
            return
        self.counted.append(round_)
        for key, sample in round_.items():
            self.figures[key].append(self.figure([sample]))

    def pairs(self) -> Stored:
        """Candidate and anchor network, as they are kept for later checks."""
        references: Sequence[float | None] = self.figures.get(REFERENCE) or [None] * len(self.counted)
        return list(zip(self.figures[CANDIDATE], references, strict=True))


def judge(seen: Seen, terms: Terms, stored: Stored | None, error: float, seconds: float) -> Judged:
    """One look at the rounds so far; each of its intervals misses the truth with probability `error`."""
    if not seen.counted:  # a figure is shown even where none can be trusted
        undecided = Interval(-inf, seen.figure([seen.last[CANDIDATE]]), inf)
        latency_ms, ratio, baseline_ms = undecided, None, None
        if BASELINE in seen.last or stored is not None:
            ratio, baseline_ms = Interval(0.0, 1.0, inf), undecided.middle
    else:
        latency_ms = latency_interval([round_[CANDIDATE] for round_ in seen.counted], seen.figure, error)
        ratio, baseline_ms = _compare(seen, stored, latency_ms.middle, error, 1 - terms.confidence)
    help_ = _what_would_help(seen, error, terms, seconds)
    findings = []
    if terms.limit_ms is not None:
        findings.append(judge_budget(latency_ms, terms, _slower(seen, terms), help_))
    if ratio is not None and baseline_ms is not None:
        findings.append(judge_regression(ratio, latency_ms.middle, baseline_ms, terms, help_))
    return Judged(latency_ms, baseline_ms, ratio, tuple(findings), seen.pairs(), tuple(seen.noisy_rounds), seconds)


def _slower(seen: Seen, terms: Terms) -> float:
    """How many times as long the anchor network takes as when the limit was met; 1 if that is not known."""
    if terms.anchor_ms is None or REFERENCE not in seen.figures:
        return 1.0
    return seen.figure([round_[REFERENCE] for round_ in seen.counted]) / terms.anchor_ms


def _compare(
    seen: Seen, stored: Stored | None, latency_ms: float, error: float, error_then: float
) -> tuple[Interval | None, float | None]:
    """The ratio to the baseline, and the baseline's latency in ms, today; None where there is none."""
    if BASELINE in seen.figures:
        ratio = ratio_interval(seen.figures[CANDIDATE], seen.figures[BASELINE], error)
        return ratio, seen.figure([round_[BASELINE] for round_ in seen.counted])
    if stored is not None:
        ratio = ratio_to_stored(seen.pairs(), stored, error, error_then)
        return ratio, latency_ms / ratio.middle
    return None, None


def ratio_to_stored(rounds: Stored, stored: Stored, error: float, error_then: float) -> Interval:
    """The ratio to an earlier measurement, each in units of the anchor network that was timed beside it.

    Half of each error goes to what was stored, which is looked at once, half to the rounds of this look.

    Raises:
        TargetMismatch: a anchor network was timed in only one of the two.
    """
    if (rounds[0][1] is None) != (stored[0][1] is None):
        raise TargetMismatch(
            "the baseline and this measurement can't be brought to the same clock: only one of them timed the "
            "anchor network. Write a new baseline with nastool check --latency ... --json"
        )
    now = median_interval([log(_in_reference_units(pair)) for pair in rounds], error / 2)
    then = median_interval([log(_in_reference_units(pair)) for pair in stored], error_then / 2)
    return Interval(now.low - then.high, now.middle - then.middle, now.high - then.low).map(exp)


def judge_budget(latency_ms: Interval, terms: Terms, slower: float, help_: str) -> Finding:
    """The latency's whole interval within the budget passes, its whole interval over it fails.

    It doesn't fail if it would be within the budget on a machine as quick as when the budget was met: the reference
    network takes `slower` times as long now.
    """
    assert terms.limit_ms is not None
    outcome = _outcome(latency_ms, terms.limit_ms)
    if outcome is Outcome.FAIL and latency_ms.low <= terms.limit_ms * slower:
        outcome = Outcome.INCONCLUSIVE
        help_ = (
            f"The anchor network takes {slower - 1:.1%} longer as well than when the budget was met: the machine "
            f"is slower now. Find a quieter moment"
        )
    allowed = f"{format_ms(terms.limit_ms)} allowed"
    measured = f"{format_ms(latency_ms.middle)} measured{_ends(latency_ms, format_ms, terms.confidence)}"
    texts = {
        Outcome.PASS: f"within the budget: {measured}, {allowed}",
        Outcome.FAIL: f"over the budget: {measured}, {allowed}",
        Outcome.INCONCLUSIVE: f"can't tell whether it is over the budget: {measured}, {allowed}. {help_}",
    }
    return Finding("budget", outcome, texts[outcome])


def judge_regression(ratio: Interval, measured_ms: float, baseline_ms: float, terms: Terms, help_: str) -> Finding:
    """The ratio's whole interval within what is let pass passes, its whole interval over it fails."""
    outcome = _outcome(ratio, 1 + terms.slack)
    change = "slower" if ratio.middle > 1 else "quicker"
    by = f"{change} than the baseline by {abs(ratio.middle - 1):.1%}"
    seen = f"ratio {ratio.middle:.3f}{_ends(ratio, '{:.3f}'.format, terms.confidence)}"
    figures = f"{format_ms(measured_ms)} measured, {format_ms(baseline_ms)} before, {terms.slack:.1%} allowed"
    texts = {
        Outcome.PASS: f"{by}, {seen}: {figures}",
        Outcome.FAIL: f"{by}, {seen}: {figures}",
        Outcome.INCONCLUSIVE: f"can't tell whether it is slower than the baseline by more than {terms.slack:.1%}: "
        f"{seen}. {help_}",
    }
    return Finding("regression", outcome, texts[outcome])


def _outcome(interval: Interval, most: float) -> Outcome:
    if interval.high <= most:
        return Outcome.PASS
    return Outcome.FAIL if interval.low > most else Outcome.INCONCLUSIVE


def _ends(interval: Interval, shown: Callable[[float], str], confidence: float) -> str:
    if interval.high == inf:
        return ""
    return f" ({shown(interval.low)} to {shown(interval.high)} at {confidence * 100:.4g} %)"


def _what_would_help(seen: Seen, error: float, terms: Terms, seconds: float) -> str:
    """Why there is no answer yet, and what to do about it."""
    rounds, noisy_rounds = len(seen.counted), seen.noisy_rounds
    so_far = f"{rounds} round{'s' if rounds != 1 else ''} in {seconds:.0f} s"
    if noisy_rounds:
        reason, times = Counter(noisy_rounds).most_common(1)[0]
        return f"{so_far}, and {len(noisy_rounds)} that don't count ({times} times: {reason}). Find a quieter machine"
    if rounds < least_rounds(error):
        return (
            f"{so_far}, and {least_rounds(error)} are needed. Give it more time, as --max-seconds {ceil(seconds) * 4}"
        )
    return f"{so_far}. Give it more time, as --max-seconds {ceil(terms.max_seconds) * 4:g}, or a quieter machine"


def _in_reference_units(pair: tuple[float, float | None]) -> float:
    ms, anchor_ms = pair
    return ms if anchor_ms is None else ms / anchor_ms


def _note(judged: Judged) -> str:
    rounds = f"{len(judged.rounds)} rounds"
    if judged.ratio is None:
        return f"{rounds}, {format_ms(judged.latency_ms.middle)}"
    return f"{rounds}, ratio {judged.ratio.middle:.3f} ({judged.ratio.low:.3f} to {judged.ratio.high:.3f})"
