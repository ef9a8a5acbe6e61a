"""The one timing loop, for every backend.

A round times each model once, in an order of its own, so that a machine that slows down for a while slows all
of them and not one. Both clock time and the CPU time of the calling thread are kept: on a busy machine the
clock also counts the waiting. (With several threads the CPU time is the calling thread's share, no more.)

CPU time doesn't count the waiting, but it does count what comes after it: a thread that was interrupted finds its
caches full of another's data. So a round in which every call was interrupted is marked as noisy
(docs/decisions/0016-reliable-measurements.md has the measurements).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Protocol

PROTOCOL_VERSION = 2  # a part of every measurement's target: other protocols give other figures
SHORTEST_SAMPLE_MS = 0.2  # shorter calls are timed several at once, so that the clock's own cost is small
SHORTEST_CALL_MS = 1e-4  # guards the division; a Python call takes about as long
WARM = 1.05  # two windows in a row that differ by less are warm: what a call varies by on a machine in use
MOST_WINDOWS = 5  # of a warm-up; on a busy machine no two may ever agree
INTERRUPTED = "interrupted"  # the word in `Timing.noise_reason`
UNINTERRUPTED = 1.05  # clock time over CPU time of a sample during which its thread was not made to wait


@dataclass(frozen=True)
class Timing:
    """A model in one round, in ms a call.

    `wall` is the clock. `busy` is what the processor spent on it: the CPU time of the calling thread, or the time
    between two events on a GPU. `raw_ms` are the times that count (see `time_calls`) of the samples, in the order they
    were taken; `noise_reason` says in a few words why the round can't be trusted, and is empty where it can.
    """

    calls: int
    wall_ms_min: float
    wall_ms_median: float
    busy_ms_min: float
    busy_ms_median: float
    raw_ms: tuple[float, ...] = ()
    noise_reason: str = ""


class Timed(Protocol):
    """Something that can be timed; `exporters.backends.Compiled` is."""

    def time(self, min_ms: float) -> Timing:
        """Warm up with a call, then time calls for about `min_ms` milliseconds."""


def time_calls(call: Callable[[], object], min_ms: float, min_calls: int = 3, *, one_thread: bool = True) -> Timing:
    """Warm up, then sample until `min_ms` milliseconds have passed and `min_calls` samples are taken.

    A sample is one call, or the mean of a group of calls where one is too short for the clock.

    Args:
        one_thread: all of the work is done by the calling thread: its CPU time counts, and tells whether it was
            interrupted. Else only the clock tells anything.
    """
    group = max(1, round(SHORTEST_SAMPLE_MS / max(_warm_up(call), SHORTEST_CALL_MS)))
    samples: list[tuple[float, float]] = []
    ends = time.perf_counter() + min_ms / 1e3
    while len(samples) < min_calls or time.perf_counter() < ends:
        samples.append(_sample(call, group))
    wall, cpu = zip(*samples, strict=True)
    noise_reason = _interrupted(samples) if one_thread else ""
    raw = cpu if one_thread else wall
    return Timing(len(samples) * group, min(wall), median(wall), min(cpu), median(cpu), raw, noise_reason)


def _warm_up(call: Callable[[], object]) -> float:
    """Call until two windows in a row agree; returns the least clock milliseconds of a call.

    The first call is slower: caches are cold, memory is claimed.
    """
    least_ms, before = float("inf"), float("inf")
    for _ in range(MOST_WINDOWS):
        group = max(1, round(SHORTEST_SAMPLE_MS / max(least_ms, SHORTEST_CALL_MS)))
        wall, cpu = _sample(call, group)
        least_ms = min(least_ms, wall)
        if before / WARM < cpu < before * WARM:
            break
        before = cpu
    return least_ms


def _interrupted(samples: list[tuple[float, float]]) -> str:
    """Why the samples of one thread can't be trusted: it was made to wait during each of them."""
    if any(wall <= cpu * UNINTERRUPTED for wall, cpu in samples):
        return ""
    return INTERRUPTED


def interleaved(
    compiled: Mapping[str, Timed],
    rounds: Iterable[int],
    min_ms: float,
    seed: int,
    on_tick: Callable[[str], None] | None = None,
) -> Iterator[tuple[int, dict[str, Timing]]]:
    """Each round's number and timings, as soon as the round is complete.

    The order within a round depends on `seed` and the round's number alone, so rounds that are done after a
    kill are those that would have been.

    Args:
        rounds: the numbers of the rounds to do.
        on_tick: is told the key of each model once it is timed.
    """
    for number in rounds:
        order = sorted(compiled)
        Random(f"{seed}:{number}").shuffle(order)
        timings = {}
        for key in order:
            timings[key] = compiled[key].time(min_ms)
            if on_tick is not None:
                on_tick(key)
        yield number, timings


def _sample(call: Callable[[], object], group: int) -> tuple[float, float]:
    """Clock and CPU milliseconds a call, over `group` calls."""
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    for _ in range(group):
        call()
    cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
    return round(wall / group / 1e6, 7), round(cpu / group / 1e6, 7)  # to a tenth of a nanosecond: rows keep these
