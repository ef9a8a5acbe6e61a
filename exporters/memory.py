"""Memory, a stream, events and graphs on an NVIDIA GPU, through pycuda where it is installed, else cuda-python.

Both share the device's primary context with TensorRT and ONNX Runtime, so pointers and streams can be handed over.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from exporters.errors import BackendUnavailable

Enqueue = Callable[[], object]
PYCUDA, CUDA_PYTHON = "pycuda", "cuda-python"


class DeviceMemory(Protocol):
    """One GPU and one stream on it. Pointers are addresses, sizes are bytes."""

    name: str
    graphs: bool  # whether `capture` gives one launch for many

    @property
    def stream(self) -> int:
        """The stream's handle, as libraries take it."""

    def pci_bus_id(self) -> str:
        """Where the GPU is, as `0000:65:00.0`; NVML knows it by that, whatever order CUDA counts in."""

    def claim(self, size: int) -> int:
        """A pointer to `size` bytes, until `free`."""

    def free(self, pointer: int) -> None:
        """Give back what was claimed."""

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        """Copy to the GPU, and wait for it."""

    def download(self, array: NDArray[Any], pointer: int) -> None:
        """Copy from the GPU once the stream's work is done, and wait for it."""

    def synchronise(self) -> None:
        """Wait for all work on the stream."""

    def elapsed_ms(self, work: Enqueue) -> float:
        """Milliseconds between two events round what `work` puts on the stream."""

    def capture(self, enqueue: Enqueue) -> Enqueue:
        """What launches the same work again; as one graph, where the library has graphs.

        Raises:
            CaptureFailed: the work can't be captured.
        """

    def close(self) -> None:
        """Give back stream, events and graphs."""


class CaptureFailed(Exception):
    """Work that can't become a CUDA graph. It never leaves this package."""


def why_not() -> str | None:
    """Why there is no way to a GPU's memory, or None if there is."""
    if available() is None:
        return "neither pycuda nor cuda-python is installed. Type pip install cuda-bindings"
    return None


def available() -> str | None:
    """The library that `open_memory` takes."""
    if find_spec("pycuda") is not None:
        return PYCUDA
    if find_spec("cuda") is not None and find_spec("cuda.bindings") is not None:
        return CUDA_PYTHON
    return None


def open_memory(device: int = 0) -> DeviceMemory:
    """A stream on the GPU that CUDA counts as `device`.

    Raises:
        BackendUnavailable: no library is installed, or there is no such GPU.
    """
    if reason := why_not():
        raise BackendUnavailable(f"GPU {device} can't be used: {reason}")
    try:
        return PyCuda(device) if available() == PYCUDA else CudaPython(device)
    except BackendUnavailable:
        raise
    except Exception as problem:  # pycuda's errors are made at run time
        raise BackendUnavailable(
            f"GPU {device} can't be used: {problem}. Use a machine with an NVIDIA GPU and its driver"
        ) from None


class CudaPython:
    """Through `cuda.bindings.runtime`, which NVIDIA maintains and torch's CUDA build brings along."""

    name = CUDA_PYTHON
    graphs = True

    def __init__(self, device: int) -> None:
        self._cuda: Any = import_module("cuda.bindings.runtime")
        cuda = self._cuda
        self._device = device
        self._call(cuda.cudaSetDevice, device)
        # the host spins while it waits: a thread that sleeps wakes up late, and the next launch is late too
        self._call(cuda.cudaSetDeviceFlags, cuda.cudaDeviceScheduleSpin)
        self._stream = self._call(cuda.cudaStreamCreateWithFlags, cuda.cudaStreamNonBlocking)
        self._events = [self._call(cuda.cudaEventCreate) for _ in range(2)]
        self._graphs: list[Any] = []

    @property
    def stream(self) -> int:
        return int(self._stream)

    def pci_bus_id(self) -> str:
        found = self._call(self._cuda.cudaDeviceGetPCIBusId, 32, self._device)
        return bytes(found).rstrip(b"\0").decode()

    def claim(self, size: int) -> int:
        return int(self._call(self._cuda.cudaMalloc, size))

    def free(self, pointer: int) -> None:
        self._call(self._cuda.cudaFree, pointer)

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._cuda.cudaMemcpyAsync, pointer, array.ctypes.data, array.nbytes, kind, self._stream)
        self.synchronise()

    def download(self, array: NDArray[Any], pointer: int) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._cuda.cudaMemcpyAsync, array.ctypes.data, pointer, array.nbytes, kind, self._stream)
        self.synchronise()

    def synchronise(self) -> None:
        self._call(self._cuda.cudaStreamSynchronize, self._stream)

    def elapsed_ms(self, work: Enqueue) -> float:
        begin, end = self._events
        self._call(self._cuda.cudaEventRecord, begin, self._stream)
        work()
        self._call(self._cuda.cudaEventRecord, end, self._stream)
        self._call(self._cuda.cudaEventSynchronize, end)
        return float(self._call(self._cuda.cudaEventElapsedTime, begin, end))

    def capture(self, enqueue: Enqueue) -> Enqueue:
        cuda = self._cuda
        enqueue()  # whatever is set up on the first call can't be captured
        self.synchronise()
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(cuda.cudaStreamBeginCapture, self._stream, mode)
        try:
            enqueue()
        finally:
            error, *found = cuda.cudaStreamEndCapture(self._stream)
        if error != cuda.cudaError_t.cudaSuccess:
            cuda.cudaGetLastError()  # the error stays with the thread until it is asked for
            raise CaptureFailed(self._named(error))
        graph = self._call(cuda.cudaGraphInstantiate, found[0], 0)
        self._call(cuda.cudaGraphDestroy, found[0])
        self._graphs.append(graph)
        return lambda: self._call(cuda.cudaGraphLaunch, graph, self._stream)

    def close(self) -> None:
        for graph in self._graphs:
            self._call(self._cuda.cudaGraphExecDestroy, graph)
        for event in self._events:
            self._call(self._cuda.cudaEventDestroy, event)
        self._call(self._cuda.cudaStreamDestroy, self._stream)
        self._graphs, self._events = [], []

    def _call(self, function: Callable[..., Sequence[Any]], *arguments: Any) -> Any:
        """The value of a CUDA call, which gives (error,) or (error, value)."""
        error, *values = function(*arguments)
        if error != self._cuda.cudaError_t.cudaSuccess:
            self._cuda.cudaGetLastError()
            raise BackendUnavailable(
                f"{function.__name__} on GPU {self._device}: {self._named(error)}. See that nvidia-smi finds the "
                f"GPU and that its memory is free, or use another device"
            )
        return values[0] if values else None

    def _named(self, error: Any) -> str:
        _, name = self._cuda.cudaGetErrorName(error)
        return bytes(name).decode()


class PyCuda:
    """Through pycuda, which has no graphs: each launch is one of the host's."""

    name = PYCUDA
    graphs = False

    def __init__(self, device: int) -> None:
        self._cuda: Any = import_module("pycuda.driver")
        self._cuda.init()
        self._device = self._cuda.Device(device)
        self._context = self._device.retain_primary_context()
        self._context.push()
        self._stream = self._cuda.Stream()
        self._claimed: dict[int, Any] = {}

    @property
    def stream(self) -> int:
        return int(self._stream.handle)

    def pci_bus_id(self) -> str:
        return str(self._device.pci_bus_id())

    def claim(self, size: int) -> int:
        allocation = self._cuda.mem_alloc(size)  # freed when nothing holds it
        self._claimed[int(allocation)] = allocation
        return int(allocation)

    def free(self, pointer: int) -> None:
        self._claimed.pop(pointer).free()

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        self._cuda.memcpy_htod_async(pointer, np.ascontiguousarray(array), self._stream)
        self.synchronise()

    def download(self, array: NDArray[Any], pointer: int) -> None:
        self._cuda.memcpy_dtoh_async(array, pointer, self._stream)
        self.synchronise()

    def synchronise(self) -> None:
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
