"""The timing loop that all backends share.

In a round each model is timed once, in a random order, so that a temporary slowdown of the machine affects all models
alike. Both wall-clock time and the CPU time of the calling thread are recorded: on a busy machine the wall clock also
counts waiting. (With several threads the CPU time is that of the calling thread only.)

CPU time does not include waiting, but a thread that was interrupted continues with caches full of other data. So a
round in which every call was interrupted is marked as noisy (docs/decisions/0016 has the measurements).

Remote devices run this file as well, so it needs Python 3.9 and its standard library alone (`exporters.agent`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from statistics import median
from typing import Protocol, runtime_checkable

PROTOCOL_VERSION = 2  # part of the target of every measurement: other protocols give other latencies
MIN_SAMPLE_MS = 0.2  # shorter calls are timed in groups, so that the cost of reading the clock is small
MIN_CALL_MS = 1e-4  # avoids a division by zero; a Python call takes about as long
WARM = 1.05  # the model is warm if two consecutive windows differ by less; calls vary by this on a machine in use
MAX_WINDOWS = 5  # of a warm-up; on a busy machine no two windows may agree
REQUESTS_AHEAD = 16  # of a remote device; a limit, so that unread answers never fill the connection
INTERRUPTED = "interrupted"  # a `Timing.noise_reason`
UNINTERRUPTED = 1.05  # maximum wall-clock time over CPU time of a sample whose thread did not have to wait


@dataclass(frozen=True)
class Timing:
    """The timing of a model in one round, in ms per call.

    Args:
        wall_ms_min, wall_ms_median: wall-clock time.
        busy_ms_min, busy_ms_median: CPU time of the calling thread, or time between two events on a GPU.
        raw_ms: the time of each sample that the latency is computed from (see `time_calls`), in order.
        noise_reason: why the round is not reliable; empty if it is.
    """

    calls: int
    wall_ms_min: float
    wall_ms_median: float
    busy_ms_min: float
    busy_ms_median: float
    raw_ms: tuple[float, ...] = ()
    noise_reason: str = ""


class Timed(Protocol):
    """Something that can be timed, such as `exporters.backends.Compiled`."""

    def time(self, min_ms: float) -> Timing:
        """Warm up, then time calls for about `min_ms` milliseconds."""


@runtime_checkable
class TimedAhead(Protocol):
    """Something whose timings can be requested ahead, so that a remote device does not wait for the next request."""

    @property
    def queue(self) -> object:
        """What answers the requests, one after the other."""

    def request(self, min_ms: float) -> None:
        """Request one timing; the next call of `time` returns it."""


def time_calls(call: Callable[[], object], min_ms: float, min_calls: int = 3, *, one_thread: bool = True) -> Timing:
    """Warm up, then sample until `min_ms` milliseconds have passed and `min_calls` samples are taken.

    A sample is one call, or the mean of a group of calls if one is too short for the clock.

    Args:
        one_thread: whether the calling thread does all of the work. Then its CPU time is used, and shows whether it
            was interrupted; else only the wall-clock time is used.
    """
    group = max(1, round(MIN_SAMPLE_MS / max(_warm_up(call), MIN_CALL_MS)))
    samples: list[tuple[float, float]] = []
    end = time.perf_counter() + min_ms / 1e3
    while len(samples) < min_calls or time.perf_counter() < end:
        samples.append(_sample(call, group))
    wall, cpu = zip(*samples)
    noise_reason = interruption(samples) if one_thread else ""
    raw = cpu if one_thread else wall
    return Timing(len(samples) * group, min(wall), median(wall), min(cpu), median(cpu), raw, noise_reason)


def interruption(samples: Sequence[tuple[float, float]]) -> str:
    """INTERRUPTED if the thread was interrupted during every sample, else empty.

    Args:
        samples: wall-clock and CPU time of each.
    """
    return "" if any(wall <= cpu * UNINTERRUPTED for wall, cpu in samples) else INTERRUPTED


def interleaved(
    compiled: Mapping[str, Timed],
    rounds: Iterable[int],
    min_ms: float,
    seed: int,
    on_tick: Callable[[str], None] | None = None,
) -> Iterator[tuple[int, dict[str, Timing]]]:
    """Yield the number and the timings of each round as soon as it is complete.

    The order within a round depends only on `seed` and the number of the round, so a resumed measurement continues
    with the rounds that it would have had.

    Args:
        rounds: the numbers of the rounds.
        on_tick: called with the key of each model after it is timed.
    """
    for number in rounds:
        order = sorted(compiled)
        Random(f"{seed}:{number}").shuffle(order)
        timings = {}
        ahead = iter(_of_one_queue([compiled[key] for key in order]))
        for model in islice(ahead, REQUESTS_AHEAD):
            model.request(min_ms)
        for key in order:
            timings[key] = compiled[key].time(min_ms)
            for model in islice(ahead, 1):
                model.request(min_ms)
            if on_tick is not None:
                on_tick(key)
        yield number, timings


def _of_one_queue(models: Sequence[Timed]) -> list[TimedAhead]:
    """The models if one queue answers the requests of all; else none, since those of several queues could overlap."""
    ahead: list[TimedAhead] = [model for model in models if isinstance(model, TimedAhead)]
    one = len(ahead) == len(models) and len({id(model.queue) for model in ahead}) == 1
    return ahead if one else []


def _warm_up(call: Callable[[], object]) -> float:
    """Call until two consecutive windows agree; returns the least wall-clock milliseconds of a call.

    The first calls are slower, since caches are cold and memory is allocated.
    """
    least_ms, previous = float("inf"), float("inf")
    for _ in range(MAX_WINDOWS):
        group = max(1, round(MIN_SAMPLE_MS / max(least_ms, MIN_CALL_MS)))
        wall, cpu = _sample(call, group)
        least_ms = min(least_ms, wall)
        if previous / WARM < cpu < previous * WARM:
            break
        previous = cpu
    return least_ms


def _sample(call: Callable[[], object], group: int) -> tuple[float, float]:
    """Wall-clock and CPU milliseconds per call, over `group` calls."""
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    for _ in range(group):
        call()
    cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
    return round(wall / group / 1e6, 7), round(cpu / group / 1e6, 7)  # 0.1 ns, the resolution of the latency table
