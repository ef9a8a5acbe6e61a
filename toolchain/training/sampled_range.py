"""The range of a cost that uniform constraint sampling divides into levels.

The levels should cover what will be searched: from the cheapest network to the greatest budget. See
docs/decisions/0037-range-of-constraint-sampling.md.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from toolchain.config import SupernetConfig
from toolchain.costs.core import TableCost
from toolchain.costs.counters import counted_cost, default_cost_name
from toolchain.errors import BadConfig
from toolchain.files import Document
from toolchain.spaces.core import SearchSpace
from toolchain.units import MS_PER_UNIT, expand, parse_count, parse_latency_ms

WHOLE = "whole"


@dataclass(frozen=True)
class SampledRange:
    """Levels of equal width from `low` to `high`; from the 1st to the 99th percentile of the space if they are None."""

    cost: TableCost
    low: float | None
    high: float | None
    levels: int

    def edges(self) -> list[float] | None:
        """The edges of the levels; None for percentiles."""
        if self.low is None or self.high is None:
            return None
        width = (self.high - self.low) / self.levels
        return [*(self.low + width * number for number in range(self.levels)), self.high]

    def fingerprint(self) -> "Sampling":
        """What the drawn paths depend on."""
        table = cost_digest(self.cost) if self.cost.unit == "ms" else None
        return Sampling(cost=self.cost.name, low=self.low, high=self.high, levels=self.levels, table=table)


class Sampling(Document):
    """A `SampledRange` in a fingerprint. Latencies are measured, so theirs has a digest of the table."""

    cost: str
    low: float | None = None
    high: float | None = None
    levels: int
    table: str | None = None


def samples_latency(training: SupernetConfig) -> bool:
    """Whether paths are sampled by latency, so that the latency table is needed."""
    texts = (*training.budgets, *training.sample_range)
    return training.sample_by == "latency" or (training.sample_by is None and any(map(_is_latency, texts)))


def sampled_range(training: SupernetConfig, space: SearchSpace, latency: TableCost | None) -> SampledRange | None:
    """The configured range.

    Args:
        latency: the latency of the space's architectures; needed if `samples_latency(training)`.

    Returns:
        None if nothing is configured: seven levels between percentiles of MACs or BitOps.

    Raises:
        BadUnit: an amount is not valid.
        BadConfig: the range contains no network of the space, or the latency is needed and not given.
    """
    if not training.samples_range:
        return None
    cost = _cost(training, space, latency)
    if training.sample_range == (WHOLE,):
        return SampledRange(cost, cost.least, cost.greatest, training.levels)
    if training.budgets:
        return _clipped(cost, cost.least, max(_amounts(training.budgets, cost)), training.levels, "budgets")
    if training.sample_range:
        low, high = (_amounts((text,), cost)[0] for text in training.sample_range)
        return _clipped(cost, low, high, training.levels, "sample_range")
    return SampledRange(cost, None, None, training.levels)


def _cost(training: SupernetConfig, space: SearchSpace, latency: TableCost | None) -> TableCost:
    if samples_latency(training):
        if latency is None:
            raise BadConfig(
                "sampling paths by latency needs the latency table of the target. Run nastool profile first, or set "
                "train.sample_by to macs"
            )
        return latency
    return counted_cost(training.sample_by or default_cost_name(space), space)


def _amounts(texts: Sequence[str], cost: TableCost) -> tuple[float, ...]:
    """The amounts in the unit of `cost`."""
    if cost.unit == "ms":
        return expand(texts, parse_latency_ms)
    return expand(texts, partial(parse_count, what=cost.name))


def _clipped(cost: TableCost, low: float, high: float, levels: int, key: str) -> SampledRange:
    """The part of the range that the space has networks in."""
    if low > high or high < cost.least or low > cost.greatest:
        given = (
            f"{cost.format(low)} to {cost.format(high)}" if key == "sample_range" else f"at most {cost.format(high)}"
        )
        unit = "" if cost.unit == "ms" else ". A latency is written with its unit, as 17ms"
        raise BadConfig(
            f"train.{key}: no network of the space has {cost.name} of {given}. The space has {cost.format(cost.least)} "
            f"to {cost.format(cost.greatest)}{unit}"
        )
    return SampledRange(cost, max(low, cost.least), min(high, cost.greatest), levels)


def _is_latency(text: str) -> bool:
    return text.rstrip().endswith(tuple(MS_PER_UNIT))


def cost_digest(cost: TableCost) -> str:
    """A digest of the table, for fingerprints."""
    return hashlib.sha256(json.dumps([cost.fixed, *map(dict, cost.rows)], sort_keys=True).encode()).hexdigest()[:16]
