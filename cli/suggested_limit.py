"""The limit that a hint for `nastool search` suggests."""

from typing import TYPE_CHECKING

from cli.flag_groups import LIMITS

if TYPE_CHECKING:
    from toolchain.config import Config
    from toolchain.spaces.core import SearchSpace


def suggested_limit(config: "Config", space: "SearchSpace") -> tuple[str, ...]:
    """A limit that about half of the architectures meet; empty if the configuration has one.

    It is on latency if the space is profiled on the target, else on MACs, or BitOps of a quantized space.
    """
    from toolchain.costs.counters import default_cost
    from toolchain.units import compact

    if any(flag.value(config) for flag in LIMITS):
        return ()
    latency_ms = _middle_latency_ms(config, space)
    if latency_ms is not None:
        return ("--latency", f"{latency_ms:g}ms")
    cost = default_cost(space)
    middle = float(cost.fixed) + sum(sum(row.values()) / len(row) for row in cost.rows)
    return (f"--{cost.name}", compact(float(f"{middle:.3g}"), cost.unit))


def _middle_latency_ms(config: "Config", space: "SearchSpace") -> float | None:
    """The latency that about half of the architectures meet; None unless the whole space is profiled on the target.

    A table may have the block variants of the space and lack its head, e.g. after a profile for other classes.
    """
    from exporters.errors import ExporterError
    from latency_db.errors import LatencyDbError
    from latency_db.where import exists
    from toolchain.errors import NastoolError
    from toolchain.measuring.from_config import resolve_target
    from toolchain.profiling.stored_table import load_table
    from toolchain.search.budget import middle_latency_ms

    if not exists(config.profile.db):
        return None
    try:
        table = load_table(space, resolve_target(config.profile, space)[0], config.profile.db)
        return middle_latency_ms(space, table, config.seed)
    except (NastoolError, ExporterError, LatencyDbError):
        return None
