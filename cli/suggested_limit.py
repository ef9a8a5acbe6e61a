"""The limit that a hint for `nastool search` suggests."""

from typing import TYPE_CHECKING

from cli.options import LIMITS

if TYPE_CHECKING:
    from latency_db.table import LatencyTable
    from toolchain.config import Config
    from toolchain.spaces.core import SearchSpace


def suggested_limit(config: "Config", space: "SearchSpace") -> tuple[str, ...]:
    """A limit that about half of the architectures meet; empty if the configuration has one.

    It is on latency if the space is profiled on the target, else on MACs, or BitOps of a quantized space.
    """
    from toolchain.costs.counters import bitops_cost, macs_cost
    from toolchain.search.budget import middle_latency_ms
    from toolchain.units import compact

    if any(flag.value(config) for flag in LIMITS):
        return ()
    table = _recorded(config, space)
    if table is not None:
        return ("--latency", f"{middle_latency_ms(space, table, config.seed):g}ms")
    cost = bitops_cost(space) if space.quantized else macs_cost(space)
    middle = float(cost.fixed) + sum(sum(row.values()) / len(row) for row in cost.rows)
    return ("--bitops" if space.quantized else "--macs", compact(float(f"{middle:.3g}"), cost.unit))


def _recorded(config: "Config", space: "SearchSpace") -> "LatencyTable | None":
    """The records of the space on the configured target, if it was profiled there."""
    from exporters.errors import ExporterError
    from latency_db.errors import LatencyDbError
    from latency_db.where import exists
    from toolchain.errors import NastoolError
    from toolchain.measuring.from_config import resolve_target
    from toolchain.profiling.profiler import load_table

    if not exists(config.profile.db):
        return None
    try:
        return load_table(space, resolve_target(config.profile)[0], config.profile.db)
    except (NastoolError, ExporterError, LatencyDbError):
        return None
