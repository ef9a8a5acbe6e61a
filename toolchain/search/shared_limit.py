"""The latency limits of further devices, which a shared budget has as well (docs/decisions/0046-fleets.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from toolchain.costs.core import Limit, TableCost
from toolchain.costs.latency import LatencyModel
from toolchain.search.candidate import Candidate
from toolchain.search.candidate_timing import Measure


@dataclass(frozen=True)
class SharedLimit:
    """The latency limit of a further device, which a network must meet as well.

    Args:
        limit: on a cost with a name of its own, as `latency_ms@pi`.
        measure: compiles and times a whole network on the device.
    """

    limit: Limit
    model: LatencyModel
    measure: Measure

    @property
    def name(self) -> str:
        """The name of the latency on this device."""
        return self.limit.cost.name

    @property
    def upper(self) -> TableCost:
        """The upper bound of the latency on this device."""
        return replace(self.model.upper, name=self.name)


def why_shared(missed: Sequence[Candidate], limit: Limit, model: LatencyModel, others: Sequence[SharedLimit]) -> str:
    """Why no candidate is within the limits of all devices, and what to do about it."""
    most = {limit.cost.name: limit.most, **{other.name: other.limit.most for other in others}}
    begins = {limit.cost.name: model.upper, **{other.name: other.upper for other in others}}
    shares = [_largest_share(miss, limit.cost.name, most) for miss in missed]
    best = f", the best at {min(shares):.0%} of a limit" if shares else ""
    return (
        f"no candidate measured within {', '.join(map(str, (limit, *(other.limit for other in others))))}: "
        f"{len(missed)} were compiled and timed{best}. The space begins at "
        f"{', '.join(f'{name} {upper.least_limit()}' for name, upper in begins.items())}. Allow more than that on each "
        f"device, or search for each device without --shared"
    )


def _largest_share(miss: Candidate, first: str, most: Mapping[str, float]) -> float:
    """The measured latency of a candidate as a share of its limit, on the device where it is the largest."""
    tried = {first: miss, **miss.elsewhere}
    return max(m.latency_ms / most[name] for name, attempt in tried.items() if (m := attempt.measured))
