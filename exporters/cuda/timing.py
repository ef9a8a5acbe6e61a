"""Timing on a GPU: between two events on its stream, once its clocks have settled.

As trtexec of TensorRT 11 does by default: warm-up of 200 ms, a spinning host, no copies of images. What a launch is,
the backend says: an engine's is one CUDA graph where `DeviceMemory.capture` gives one, ONNX Runtime's is a run of its
session, kernel by kernel.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Protocol

from exporters.cuda.device_memory import DeviceMemory, Enqueue
from exporters.cuda.nvml import ClockMonitor
from exporters.timing import Timing

FIRST_WARM_UP_MS = 200.0
WARM_UP_MS = 10.0  # of a model that was warm before: in between, others kept the clocks up
MOST_WARM_UP_MS = 3000.0
WINDOW_MS = 20.0
AGREE = 0.01  # the last three windows of the warm-up differ by no more
SHORTEST_SAMPLE_MS = 1.0  # events tick every 0.5 us (CUDA programming guide); a thousandth of that is no matter
MIN_SAMPLES = 3


class Looks(Protocol):
    """What notes the GPU's state; `exporters.cuda.nvml.ClockMonitor` does."""

    def look(self) -> object:
        """Note the state of this moment."""

    def noise_reason(self) -> str:
        """Why it can't be trusted, of what was noted since the last call."""


class GpuTimer:
    """Times one model's launches on one GPU."""

    def __init__(self, gpu: DeviceMemory, launch: Enqueue, watch: Looks | None = None, trouble: str = "") -> None:
        self._gpu = gpu
        self._launch = launch
        self._watch: Looks = watch or ClockMonitor(gpu.pci_bus_id())
        self._trouble = trouble  # what is wrong with every timing of this model
        self._warm = False

    def time(self, min_ms: float, clock: Callable[[], float] = time.perf_counter) -> Timing:
        """Warm up, then sample for about `min_ms` milliseconds; a sample is the mean of a group of launches."""
        once_ms = self._warm_up(clock)
        group = max(1, round(SHORTEST_SAMPLE_MS / once_ms))
        self._watch.look()
        busy: list[float] = []
        wall: list[float] = []
        ends = clock() + min_ms / 1e3
        while len(busy) < MIN_SAMPLES or clock() < ends:
            began = clock()
            busy.append(self._sample(group))
            wall.append((clock() - began) * 1e3 / group)
            self._watch.look()
        trouble = "; ".join(text for text in (self._trouble, self._watch.noise_reason()) if text)
        calls = len(busy) * group
        return Timing(calls, min(wall), median(wall), min(busy), median(busy), tuple(busy), trouble)

    def _warm_up(self, clock: Callable[[], float]) -> float:
        """Launch until the times agree; returns milliseconds a launch."""
        began, least_ms = clock(), WARM_UP_MS if self._warm else FIRST_WARM_UP_MS
        self._sample(1)
        group = max(1, round(WINDOW_MS / 3 / max(self._sample(1), 1e-3)))
        windows = [self._sample(group)]
        while True:
            passed_ms = (clock() - began) * 1e3
            last = windows[-3:]
            settled = self._warm or (len(last) == 3 and max(last) <= min(last) * (1 + AGREE))
            if (settled and passed_ms >= least_ms) or passed_ms >= MOST_WARM_UP_MS:
                self._warm = True
                return max(windows[-1], 1e-3)
            windows.append(self._sample(group))

    def _sample(self, group: int) -> float:
        def launches() -> None:
            for _ in range(group):
                self._launch()

        return self._gpu.elapsed_ms(launches) / group
