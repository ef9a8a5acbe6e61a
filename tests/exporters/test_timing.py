"""Figures per call, whatever a call's length, in an order that comes from the seed."""

import subprocess
import sys
import time

from exporters.timing import MAX_WINDOWS, Timing, interleaved, interruption, time_calls


def test_times_a_call_by_both_clocks() -> None:
    timing = time_calls(lambda: time.sleep(0.002), min_ms=10)
    assert timing.calls >= 3
    assert 2.0 <= timing.wall_ms_min <= timing.wall_ms_median
    assert timing.busy_ms_median < timing.wall_ms_min  # sleeping costs no CPU time
    assert min(timing.raw_ms) == timing.busy_ms_min
    assert time_calls(lambda: time.sleep(0.002), min_ms=10, one_thread=False).raw_ms[0] >= 2.0


def test_samples_last_the_given_time_and_number_of_calls() -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.001)

    assert time_calls(call, min_ms=0, min_calls=7).calls == 7
    assert 7 + 2 <= calls <= 7 + MAX_WINDOWS
    started = time.perf_counter()
    time_calls(call, min_ms=30)
    assert time.perf_counter() - started >= 0.030


def test_short_calls_are_timed_in_groups() -> None:
    timing = time_calls(lambda: None, min_ms=1, min_calls=3)
    assert timing.calls > 100
    assert 0 < timing.busy_ms_min < 0.01


def test_warms_up_until_calls_agree() -> None:
    work = iter([400_000, 200_000, 100_000])  # a first call that claims memory, a second one with half-full caches
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        sum(range(next(work, 40_000)))

    assert time_calls(call, min_ms=0, min_calls=3).raw_ms
    assert calls >= 3 + 3 + 1  # three that get quicker, one more to agree with at the least, three samples


def test_round_with_every_call_interrupted_is_noisy() -> None:
    def interrupted() -> None:
        sum(range(20_000))
        time.sleep(0.001)

    assert time_calls(interrupted, min_ms=5).noise_reason == "interrupted"
    assert time_calls(interrupted, min_ms=5, one_thread=False).noise_reason == ""
    calls = 0

    def interrupted_now_and_then() -> None:
        nonlocal calls
        calls += 1
        sum(range(20_000)) if calls % 2 else interrupted()

    # none of fifty only on a machine that lets nobody work for half a millisecond
    assert any(time_calls(interrupted_now_and_then, min_ms=20).noise_reason == "" for _ in range(50))


def test_a_sample_is_uninterrupted_up_to_5_percent_of_waiting() -> None:
    assert interruption([(2.0, 1.0), (1.05, 1.0)]) == ""
    assert interruption([(2.0, 1.0), (1.06, 1.0)]) == "interrupted"


class Model:
    def __init__(self, log: list[str], key: str) -> None:
        self._log, self._key = log, key

    def time(self, min_ms: float) -> Timing:
        self._log.append(self._key)
        return Timing(1, min_ms, min_ms, min_ms, min_ms)


def order_of(rounds: range, seed: int) -> list[str]:
    log: list[str] = []
    models = {key: Model(log, key) for key in "abcdefgh"}
    for _, timings in interleaved(models, rounds, min_ms=2.0, seed=seed):
        assert timings == dict.fromkeys("abcdefgh", Timing(1, 2.0, 2.0, 2.0, 2.0))
    return log


def test_each_round_times_all_models_once_in_an_order_of_its_own() -> None:
    log = order_of(range(2), seed=0)
    assert sorted(log[:8]) == sorted(log[8:]) == list("abcdefgh")
    assert log[:8] != log[8:]
    assert log != order_of(range(2), seed=1)


def test_a_round_after_a_kill_is_the_round_that_would_have_been() -> None:
    assert order_of(range(5), seed=3)[24:] == order_of(range(3, 5), seed=3)


def test_rounds_come_one_by_one_with_progress() -> None:
    log: list[str] = []
    ticks: list[str] = []
    rounds = interleaved({key: Model(log, key) for key in "ab"}, range(9), 1.0, seed=0, on_tick=ticks.append)
    number, _ = next(rounds)
    assert number == 0
    assert ticks == log
    assert len(log) == 2


def test_needs_no_torch() -> None:
    program = "import sys; from exporters import backends, errors, timing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class Ahead:
    """A model of a queue that records what it is asked for."""

    def __init__(self, queue: object, events: list[str]) -> None:
        self.queue, self._events = queue, events

    def request(self, min_ms: float) -> None:
        self._events.append("request")

    def time(self, min_ms: float) -> Timing:
        self._events.append("time")
        return Timing(1, 1.0, 1.0, 1.0, 1.0)


def test_a_round_is_requested_ahead_from_one_queue_alone() -> None:
    """Those of two queues, or of a queue and this machine, could be timed at the same time."""
    one, other = object(), object()
    for queues, expected in (((one, one), ["request", "request", "time", "time"]), ((one, other), ["time", "time"])):
        events: list[str] = []
        models = {str(number): Ahead(queue, events) for number, queue in enumerate(queues)}
        list(interleaved(models, range(1), 1.0, seed=0))
        assert events == expected


def test_few_timings_are_requested_ahead() -> None:
    """Thousands of requests and their answers would fill both directions of a connection, which then stands still."""
    events: list[str] = []
    queue = object()
    models = {str(number): Ahead(queue, events) for number in range(100)}
    list(interleaved(models, range(2), 1.0, seed=0))
    waiting = [events[: place + 1].count("request") - events[: place + 1].count("time") for place in range(len(events))]
    assert max(waiting) == 16
    assert min(waiting) == 0
    assert events.count("request") == events.count("time") == 200
