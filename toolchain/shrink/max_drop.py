"""The fastest network that loses at most so much accuracy: search for several latencies, then verify by fine-tuning."""

from collections.abc import Callable, Sequence

from toolchain.errors import BudgetInfeasible, CheckFailed
from toolchain.search.winner import SelectedArchitecture, Winner, selected
from toolchain.spaces.core import SearchSpace
from toolchain.training.retrained import Retrained
from toolchain.units import format_ms

BUDGETS = 7  # at most four of them are fine-tuned
SLOWEST = 0.95  # of the original's latency
# options of the space, for messages
SMALLER_NETWORKS = (
    "smaller widths, as in :widths=0.125-0.25-0.5-1.0, or fewer channels between blocks, as in :between=0.5"
)
FASTEST = 1.05  # of the least reachable latency: some margin for the error of the prediction

Tune = Callable[[SelectedArchitecture], Retrained]


def latencies_ms(least_ms: float, greatest_ms: float, original_ms: float) -> list[float]:
    """Budgets at equal ratios, fastest first, in whole microseconds.

    Args:
        least_ms, greatest_ms: the latencies that networks of the space are predicted to have.

    Raises:
        BudgetInfeasible: no network of the space is faster than the original beyond the noise.
    """
    low, high = FASTEST * least_ms, min(SLOWEST * original_ms, greatest_ms)
    if high < least_ms:
        raise BudgetInfeasible(
            f"the smallest network is predicted at {format_ms(least_ms)}, and the original takes "
            f"{format_ms(original_ms)}. Allow {SMALLER_NETWORKS}"
        )
    if low >= high:
        return [round(high, 3)]
    ratio = (high / low) ** (1 / (BUDGETS - 1))
    return [round(low * ratio**number, 3) for number in range(BUDGETS)]


def fastest_within(
    winners: Sequence[Winner], space: SearchSpace, least_accuracy: float, tune: Tune
) -> tuple[SelectedArchitecture, Retrained]:
    """The first of `winners`, fastest first, whose fine-tuned hold-out accuracy is at least `least_accuracy`.

    Accuracy is taken to rise with latency: if the slowest loses too much, no other is fine-tuned; else bisection.

    Raises:
        CheckFailed: even the slowest loses more.
    """
    chosen = selected(winners[-1], space)
    retrained = tune(chosen)
    if retrained.holdout_accuracy < least_accuracy:
        latency = winners[-1].measured_latency_ms or winners[-1].latency_ms or 0.0
        raise CheckFailed(
            f"the slowest candidate ({format_ms(latency)}) has a hold-out accuracy of {retrained.holdout_accuracy:.2%} "
            f"after fine-tuning, and {least_accuracy:.2%} is needed. Allow a larger --max-drop, or train longer with "
            f"--epochs"
        )
    accepted = chosen, retrained
    low, high = 0, len(winners) - 2
    while low <= high:
        middle = (low + high) // 2
        chosen = selected(winners[middle], space)
        retrained = tune(chosen)
        if retrained.holdout_accuracy >= least_accuracy:
            accepted, high = (chosen, retrained), middle - 1
        else:
            low = middle + 1
    return accepted
