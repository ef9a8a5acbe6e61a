"""Device memory through pycuda."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from exporters.cuda.device_memory import Enqueue

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PyCuda:
    """Device memory through pycuda, which has no CUDA graphs: the host launches each kernel."""

    name = "pycuda"

    def __init__(self, ordinal: int) -> None:
        self._cuda = import_module("pycuda.driver")
        self._cuda.init()
        self.ordinal = ordinal
        self._device = self._cuda.Device(ordinal)
        self._context = self._device.retain_primary_context()
        self._context.push()
        self._stream = self._cuda.Stream()
        self._claimed: dict[int, Any] = {}

    @property
    def stream(self) -> int:
        return int(self._stream.handle)

    def pci_bus_id(self) -> str:
        return str(self._device.pci_bus_id())

    @staticmethod
    def bus_ids() -> tuple[str, ...]:
        """The PCI bus ids of the GPUs that CUDA sees, in its order."""
        cuda = import_module("pycuda.driver")
        cuda.init()
        return tuple(str(cuda.Device(ordinal).pci_bus_id()) for ordinal in range(cuda.Device.count()))

    @staticmethod
    def capability_and_cuda() -> tuple[tuple[int, int], int]:
        """The compute capability of the first GPU, and the CUDA version of its driver as 12060."""
        cuda = import_module("pycuda.driver")
        cuda.init()
        major, minor = cuda.Device(0).compute_capability()
        return (int(major), int(minor)), int(cuda.get_driver_version())

    def claim(self, size: int) -> int:
        allocation = self._cuda.mem_alloc(size)  # freed with its last reference
        self._claimed[int(allocation)] = allocation
        return int(allocation)

    def free(self, pointer: int) -> None:
        self._claimed.pop(pointer).free()

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        contiguous = array.copy(order="C")  # alive until the copy has ended
        self._cuda.memcpy_htod_async(pointer, contiguous, self._stream)
        self.synchronize()

    def download(self, array: NDArray[Any], pointer: int) -> None:
        self._cuda.memcpy_dtoh_async(array, pointer, self._stream)
        self.synchronize()

    def synchronize(self) -> None:
        self._stream.synchronize()

    def elapsed_ms(self, work: Enqueue) -> float:
        begin, end = self._cuda.Event(), self._cuda.Event()
        begin.record(self._stream)
        work()
        end.record(self._stream)
        end.synchronize()
        return float(begin.time_till(end))

    def capture(self, enqueue: Enqueue) -> Enqueue:
        return enqueue

    def close(self) -> None:
        for pointer in tuple(self._claimed):
            self.free(pointer)
        self._context.pop()
