"""The loop that times on a GPU, on a simulated one: a clock that passes when work is launched."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from exporters.cuda.nvml import ClockMonitor, ClockState, Gpu
from exporters.cuda.timing import FIRST_WARM_UP_MS, MOST_WARM_UP_MS, SHORTEST_SAMPLE_MS, GpuTimer


@dataclass
class Simulated:
    """A GPU on which a launch takes `call_ms(now)`; only `elapsed_ms` is needed of it."""

    call_ms: Callable[[float], float]
    now_ms: float = 0.0
    launches: int = 0
    samples: list[int] = field(default_factory=list)

    def launch(self) -> None:
        self.launches += 1
        self.now_ms += self.call_ms(self.now_ms)

    def elapsed_ms(self, work: Callable[[], object]) -> float:
        began, before = self.now_ms, self.launches
        work()
        self.samples.append(self.launches - before)
        return self.now_ms - began

    def clock(self) -> float:
        return self.now_ms / 1e3


@dataclass
class Log:
    """A watch that knows what it will say."""

    says: str = ""
    looks: int = 0

    def look(self) -> None:
        self.looks += 1

    def noise_reason(self) -> str:
        return self.says


def timer(gpu: Simulated, **more: Any) -> GpuTimer:
    return GpuTimer(gpu, gpu.launch, **{"watch": Log(), **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("call_ms", [0.004, 0.3, 7.0])
def test_finds_the_time_of_a_launch(call_ms: float) -> None:
    gpu = Simulated(lambda now: call_ms)
    found = timer(gpu).time(40.0, clock=gpu.clock)
    assert found.busy_ms_min == pytest.approx(call_ms)
    assert found.busy_ms_median == pytest.approx(call_ms)
    assert found.wall_ms_min == pytest.approx(call_ms)
    assert found.noise_reason == ""
    assert found.calls == len(found.raw_ms) * gpu.samples[-1]
    assert sum(found.raw_ms) * gpu.samples[-1] >= 40.0 * 0.99


def test_short_launches_are_timed_in_groups() -> None:
    gpu = Simulated(lambda now: 0.004)
    timer(gpu).time(10.0, clock=gpu.clock)
    assert gpu.samples[-1] * 0.004 == pytest.approx(SHORTEST_SAMPLE_MS, rel=0.01)


def test_warms_up_until_the_clocks_have_settled() -> None:
    """A GPU that starts at half its speed and takes 600 ms to get up is not sampled before it is."""

    def rising(now_ms: float) -> float:
        return 2.0 - min(now_ms / 600.0, 1.0)

    gpu = Simulated(rising)
    found = timer(gpu).time(50.0, clock=gpu.clock)
    assert gpu.now_ms > 600.0
    assert found.busy_ms_median == pytest.approx(1.0, rel=0.02)


def test_warms_up_long_once_and_briefly_after_that() -> None:
    gpu = Simulated(lambda now: 1.0)
    timed = timer(gpu)
    timed.time(10.0, clock=gpu.clock)
    first = gpu.now_ms
    timed.time(10.0, clock=gpu.clock)
    assert first >= FIRST_WARM_UP_MS + 10.0
    assert gpu.now_ms - first < FIRST_WARM_UP_MS


def test_a_gpu_that_never_settles_is_timed_all_the_same() -> None:
    gpu = Simulated(lambda now: 1.0 if int(now / 20) % 2 else 1.5)
    timer(gpu).time(10.0, clock=gpu.clock)
    assert gpu.now_ms < MOST_WARM_UP_MS * 1.2


def test_noise_reason_names_the_slowdown() -> None:
    gpu, watch = Simulated(lambda now: 1.0), Log("the GPU was slowed down by heat (hardware)")
    found = timer(gpu, watch=watch, trouble="no graph").time(10.0, clock=gpu.clock)
    assert found.noise_reason == "no graph; the GPU was slowed down by heat (hardware)"
    assert watch.looks == len(found.raw_ms) + 1


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ([ClockState(1400, 0), ClockState(1405, 1)], ""),  # idle in between: no matter
        ([ClockState(1400, 2)], ""),  # clocks held at a setting: as asked
        ([ClockState(1400, 0), ClockState(1400, 4)], "the GPU was slowed down by its power cap"),
        ([ClockState(1400, 8 | 64)], "the GPU was slowed down by a hardware slowdown and heat (hardware)"),
        ([ClockState(1400, 32)], "the GPU was slowed down by heat (software)"),
        ([ClockState(1400, 128)], "the GPU was slowed down by the power brake"),
        ([ClockState(1400, 0), ClockState(1415, 0)], "the GPU's clock moved from 1400 to 1415 MHz"),
        ([ClockState(0, 0), ClockState(1400, 0)], ""),  # it didn't tell once
        ([], ""),
    ],
)
def test_what_nvml_says_of_a_timing(seen: list[ClockState], told: str) -> None:
    watch = ClockMonitor("0000:00:00.0", list(seen))
    assert watch.noise_reason() == told
    assert watch.noise_reason() == "", "each timing is told of its own"


def test_a_capability_as_a_number() -> None:
    gpu = Gpu(0, "NVIDIA TITAN Xp", "GPU-1", "0000:01:00.0", "6.1", "580.65, CUDA 13.0", 12 << 30)
    assert gpu.sm == 61
