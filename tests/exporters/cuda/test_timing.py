"""GpuTimer and ClockMonitor, on a simulated GPU whose clock advances with each launch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from exporters.cuda.features import sm_of
from exporters.cuda.nvml import ClockMonitor, ClockState, Gpu
from exporters.cuda.timing import FIRST_WARM_UP_MS, MAX_WARM_UP_MS, MIN_SAMPLE_MS, GpuTimer


@dataclass
class SimulatedGpu:
    """A GPU on which a launch takes `call_ms(now_ms)` milliseconds."""

    call_ms: Callable[[float], float]
    now_ms: float = 0.0
    launches: int = 0
    samples: list[int] = field(default_factory=list)

    def launch(self) -> None:
        self.launches += 1
        self.now_ms += self.call_ms(self.now_ms)

    def elapsed_ms(self, work: Callable[[], object]) -> float:
        start_ms, before = self.now_ms, self.launches
        work()
        self.samples.append(self.launches - before)
        return self.now_ms - start_ms

    def clock(self) -> float:
        return self.now_ms / 1e3


@dataclass
class FixedMonitor:
    """A monitor with a fixed noise reason."""

    reason: str = ""
    looks: int = 0

    def look(self) -> None:
        self.looks += 1

    def noise_reason(self) -> str:
        return self.reason


def timer(gpu: SimulatedGpu, **options: Any) -> GpuTimer:
    return GpuTimer(gpu, gpu.launch, **{"monitor": FixedMonitor(), **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("call_ms", [0.004, 0.3, 7.0])
def test_measures_the_time_of_a_launch(call_ms: float) -> None:
    gpu = SimulatedGpu(lambda now: call_ms)
    timing = timer(gpu).time(40.0, clock=gpu.clock)
    assert timing.busy_ms_min == pytest.approx(call_ms)
    assert timing.busy_ms_median == pytest.approx(call_ms)
    assert timing.wall_ms_min == pytest.approx(call_ms)
    assert timing.noise_reason == ""
    assert timing.calls == len(timing.raw_ms) * gpu.samples[-1]
    assert sum(timing.raw_ms) * gpu.samples[-1] >= 40.0 * 0.99


def test_short_launches_are_timed_in_groups() -> None:
    gpu = SimulatedGpu(lambda now: 0.004)
    timer(gpu).time(10.0, clock=gpu.clock)
    assert gpu.samples[-1] * 0.004 == pytest.approx(MIN_SAMPLE_MS, rel=0.01)


def test_warms_up_until_the_clocks_have_settled() -> None:
    """The GPU starts at half its speed and reaches full speed after 600 ms."""

    def rising(now_ms: float) -> float:
        return 2.0 - min(now_ms / 600.0, 1.0)

    gpu = SimulatedGpu(rising)
    timing = timer(gpu).time(50.0, clock=gpu.clock)
    assert gpu.now_ms > 600.0
    assert timing.busy_ms_median == pytest.approx(1.0, rel=0.02)


def test_second_warm_up_is_short() -> None:
    gpu = SimulatedGpu(lambda now: 1.0)
    gpu_timer = timer(gpu)
    gpu_timer.time(10.0, clock=gpu.clock)
    first_ms = gpu.now_ms
    gpu_timer.time(10.0, clock=gpu.clock)
    assert first_ms >= FIRST_WARM_UP_MS + 10.0
    assert gpu.now_ms - first_ms < FIRST_WARM_UP_MS


def test_warm_up_of_an_unsettled_gpu_ends_at_the_maximum() -> None:
    gpu = SimulatedGpu(lambda now: 1.0 if int(now / 20) % 2 else 1.5)
    timer(gpu).time(10.0, clock=gpu.clock)
    assert gpu.now_ms < MAX_WARM_UP_MS * 1.2


def test_noise_reason_names_the_slowdown() -> None:
    gpu, monitor = SimulatedGpu(lambda now: 1.0), FixedMonitor("the GPU was slowed down by heat (hardware)")
    timing = timer(gpu, monitor=monitor, noise_reason="no graph").time(10.0, clock=gpu.clock)
    assert timing.noise_reason == "no graph; the GPU was slowed down by heat (hardware)"
    assert monitor.looks == len(timing.raw_ms) + 1


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([ClockState(1400, 0), ClockState(1405, 1)], ""),  # an idle GPU is not slowed down
        ([ClockState(1400, 2)], ""),  # clocks held at a setting
        ([ClockState(1400, 0), ClockState(1400, 4)], "the GPU was slowed down by its power cap"),
        ([ClockState(1400, 8 | 64)], "the GPU was slowed down by a hardware slowdown and heat (hardware)"),
        ([ClockState(1400, 32)], "the GPU was slowed down by heat (software)"),
        ([ClockState(1400, 128)], "the GPU was slowed down by the power brake"),
        ([ClockState(1400, 0), ClockState(1415, 0)], "the GPU's clock moved from 1400 to 1415 MHz"),
        ([ClockState(0, 0), ClockState(1400, 0)], ""),  # one state is unknown
        ([], ""),
    ],
)
def test_noise_reason_of_recorded_states(states: list[ClockState], expected: str) -> None:
    monitor = ClockMonitor("0000:00:00.0", list(states))
    assert monitor.noise_reason() == expected
    assert monitor.noise_reason() == "", "a reason is reported once"


def test_compute_capability_as_a_number() -> None:
    gpu = Gpu(0, "NVIDIA TITAN Xp", "GPU-1", "0000:01:00.0", "6.1", "580.65, CUDA 13.0", 12 << 30)
    assert sm_of(gpu.capability) == 61
