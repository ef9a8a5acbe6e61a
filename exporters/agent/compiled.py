"""A cached file on a device -> what runs and times it: ONNX Runtime, or the simulated device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from exporters.agent.simulated import SimulatedDevice
from exporters.timing import Timing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Runs(Protocol):
    """A compiled file."""

    def time(self, min_ms: float) -> Timing:
        """Time it."""

    def run(self, feeds: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Its outputs."""

    def close(self) -> None:
        """Free its memory."""


class SimulatedSession:
    """A file with its simulated latency; ONNX Runtime computes its outputs."""

    def __init__(self, device: SimulatedDevice, call_ms: float, load: Callable[[], Runs]) -> None:
        device.start(call_ms)
        self._device = device
        self._call_ms = call_ms
        self._load = load

    def time(self, min_ms: float) -> Timing:
        """Time it on the clock of the device."""
        return self._device.time(self._call_ms, min_ms)

    def run(self, feeds: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Its outputs."""
        session = self._load()
        try:
            return session.run(feeds)
        finally:
            session.close()

    def close(self) -> None:
        """Nothing is held."""


def compile_file(path: str, batch: int, threads: int, integer_fusions: bool, provider: str, gpu: str | None) -> Runs:
    """A session of ONNX Runtime.

    Args:
        gpu: the PCI bus id of the GPU; None for the CPU.
    """
    if gpu is None:
        from exporters.agent.session import load_on_cpu

        return load_on_cpu(path, batch, threads, integer_fusions)
    from exporters.cuda.onnxruntime_gpu import load_on_gpu

    return load_on_gpu(path, provider, gpu, batch, threads, integer_fusions)
