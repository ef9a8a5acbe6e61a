"""The verdict on one requirement, in a sentence that says what was measured and what to do."""

from collections import Counter
from collections.abc import Callable
from math import ceil, inf

from exporters.graph.anchor import KEY as ANCHOR
from toolchain.check.evidence import CANDIDATE, Evidence
from toolchain.check.outcome import Outcome
from toolchain.check.verdict import Finding, Requirements
from toolchain.measuring.intervals import Interval, min_rounds
from toolchain.units import format_ms


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


def advice_on(evidence: Evidence, error: float, requirements: Requirements, seconds: float) -> str:
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


def slowdown_of_machine(evidence: Evidence, requirements: Requirements) -> float:
    """Latency of the anchor network now, relative to when the limit was met; 1 if that is unknown."""
    if requirements.anchor_ms is None or ANCHOR not in evidence.latencies_ms:
        return 1.0
    return evidence.latency_ms(ANCHOR) / requirements.anchor_ms


def _all_over_budget(evidence: Evidence, requirements: Requirements) -> bool:
    """Whether every round is over the budget, at the speed that the machine had when the budget was met."""
    if requirements.limit_ms is None or not evidence.counted:
        return False
    limit_ms = requirements.limit_ms * max(1.0, slowdown_of_machine(evidence, requirements))
    return min(evidence.latencies_ms[CANDIDATE]) > limit_ms


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
