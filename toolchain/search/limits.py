"""The limits of a search, from the texts of the configuration."""

from collections.abc import Mapping
from functools import partial

from toolchain.config import SearchConfig
from toolchain.units import expand, parse_count, parse_latency_ms

Limits = Mapping[str, tuple[float, ...]]
COUNTED = ("macs", "params", "bitops", "weight_bits")
LIMITED = ("latency", *COUNTED)  # keys of the section [search]


def read_limits(search: SearchConfig) -> Limits:
    """The limits on each cost by its name, in ms or as counts; () for a cost without any.

    Raises:
        BadUnit: a limit is no amount.
    """
    counts = {name: expand(getattr(search, name), partial(parse_count, what=name)) for name in COUNTED}
    return {"latency_ms": expand(search.latency, parse_latency_ms), **counts}


def count_budgets(limits: Limits) -> int:
    """The number of budgets: that of the cost with several limits; 1 without limits."""
    return max(map(len, limits.values())) or 1
