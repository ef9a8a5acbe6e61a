"""Timing on a GPU: between two events on its stream, after its clocks have settled.

The defaults are those of trtexec in TensorRT 11: a warm-up of 200 ms, a spinning host, no copies of images. The backend
defines a launch: for an engine one CUDA graph if `DeviceMemory.capture` creates one; for ONNX Runtime a run of its
session, which launches each kernel.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Protocol

from exporters.cuda.device_memory import DeviceMemory, Enqueue
from exporters.cuda.gpus import clock_monitor
from exporters.timing import Timing

FIRST_WARM_UP_MS = 200.0
WARM_UP_MS = 10.0  # for a model that was timed before; timing other models kept the clocks high
MAX_WARM_UP_MS = 3000.0
WINDOW_MS = 20.0
SETTLED = 0.01  # maximum relative difference between the last three windows of a settled warm-up
MIN_SAMPLE_MS = 1.0  # events have a resolution of 0.5 us (CUDA programming guide), 0.05 % of a sample
MIN_SAMPLES = 3


class Monitor(Protocol):
    """Records the GPU's state, as `exporters.cuda.nvml.ClockMonitor`."""

    def look(self) -> object:
        """Record the current state."""

    def noise_reason(self) -> str:
        """Why timings since the last call are not reliable; empty if they are."""


class GpuTimer:
    """Times the launches of one model on one GPU.

    Args:
        monitor: observes the GPU between samples; by default its clocks through NVML.
        noise_reason: why no timing of this model is reliable; empty if none is known.
    """

    def __init__(
        self, gpu: DeviceMemory, launch: Enqueue, monitor: Monitor | None = None, noise_reason: str = ""
    ) -> None:
        self._gpu = gpu
        self._launch = launch
        self._monitor: Monitor = monitor or clock_monitor(gpu.pci_bus_id())
        self._noise_reason = noise_reason
        self._warm = False

    def time(self, min_ms: float, clock: Callable[[], float] = time.perf_counter) -> Timing:
        """Warm up, then sample for about `min_ms` milliseconds; a sample is the mean of a group of launches."""
        once_ms = self._warm_up(clock)
        group = max(1, round(MIN_SAMPLE_MS / once_ms))
        self._monitor.look()
        busy: list[float] = []
        wall: list[float] = []
        end = clock() + min_ms / 1e3
        while len(busy) < MIN_SAMPLES or clock() < end:
            start = clock()
            busy.append(self._sample(group))
            wall.append((clock() - start) * 1e3 / group)
            self._monitor.look()
        noise_reason = "; ".join(text for text in (self._noise_reason, self._monitor.noise_reason()) if text)
        calls = len(busy) * group
        return Timing(calls, min(wall), median(wall), min(busy), median(busy), tuple(busy), noise_reason)

    def _warm_up(self, clock: Callable[[], float]) -> float:
        """Launch until the times have settled; returns milliseconds per launch."""
        start, min_ms = clock(), WARM_UP_MS if self._warm else FIRST_WARM_UP_MS
        self._sample(1)
        group = max(1, round(WINDOW_MS / 3 / max(self._sample(1), 1e-3)))
        windows = [self._sample(group)]
        while True:
            elapsed_ms = (clock() - start) * 1e3
            last = windows[-3:]
            settled = self._warm or (len(last) == 3 and max(last) <= min(last) * (1 + SETTLED))
            if (settled and elapsed_ms >= min_ms) or elapsed_ms >= MAX_WARM_UP_MS:
                self._warm = True
                return max(windows[-1], 1e-3)
            windows.append(self._sample(group))

    def _sample(self, group: int) -> float:
        def launches() -> None:
            for _ in range(group):
                self._launch()

        return self._gpu.elapsed_ms(launches) / group
