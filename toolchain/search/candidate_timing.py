"""When whole networks are timed during a search: each at most twice, and none again after a resumed search."""

from collections.abc import Callable, Mapping

from toolchain.costs.core import Limit
from toolchain.measuring.network import Measurement
from toolchain.spaces.core import Architecture

Measure = Callable[[Architecture, int], Measurement]  # of an architecture, for the first time (0) or again (1)


def measure_against(limit: Limit, arch: Architecture, measure: Measure) -> Measurement:
    """Measure a network, and once more if it seems over the limit: noise only makes a network slower."""
    measured = measure(arch, 0)
    if measured.upper_ms <= limit.most:
        return measured
    return min(measured, measure(arch, 1), key=lambda measurement: measurement.upper_ms)


def cached(
    known: Mapping[tuple[Architecture, int], Measurement],
    measure: Measure,
    keep: Callable[[Architecture, int, Measurement], None],
) -> Measure:
    """`measure` without repeating known measurements; new ones are passed to `keep`."""
    results = dict(known)

    def measure_once(arch: Architecture, time: int) -> Measurement:
        if (arch, time) not in results:
            results[arch, time] = measure(arch, time)
            keep(arch, time, results[arch, time])
        return results[arch, time]

    return measure_once
