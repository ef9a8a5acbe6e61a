"""Memory, a stream, events and graphs on an NVIDIA GPU, through pycuda where it is installed, else cuda-python.

Both share the device's primary context with TensorRT and ONNX Runtime, so pointers and streams can be handed over.

A GPU is named by its PCI bus id. CUDA's own numbers are another matter than NVML's: CUDA_VISIBLE_DEVICES leaves some
out, and unless CUDA_DEVICE_ORDER is PCI_BUS_ID the fastest comes first (CUDA programming guide, environment variables).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from exporters.cuda import nvml
from exporters.errors import BackendUnavailable

Enqueue = Callable[[], object]
PYCUDA, CUDA_PYTHON = "pycuda", "cuda-python"
RUNTIME = "cuda.bindings.runtime"


class DeviceMemory(Protocol):
    """One GPU and one stream on it. Pointers are addresses, sizes are bytes."""

    name: str
    graphs: bool  # whether `capture` gives one launch for many
    ordinal: int  # what CUDA counts the GPU as, in this process

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

    def synchronize(self) -> None:
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


def unavailable_reason(pci_bus_id: str = "") -> str | None:
    """Why there is no way to a GPU's memory, or None if there is; of the one in that place, if it is given."""
    if available() is None:
        return "neither pycuda nor cuda-python is installed. Type pip install cuda-bindings"
    try:
        ordinal_of(pci_bus_id)
    except BackendUnavailable as problem:
        return str(problem)
    return None


def available() -> str | None:
    """The library that `open_memory` takes."""
    if find_spec("pycuda") is not None:
        return PYCUDA
    if find_spec("cuda") is not None and find_spec("cuda.bindings") is not None:
        return CUDA_PYTHON
    return None


def bus_ids() -> tuple[str, ...]:
    """The PCI bus ids of the GPUs that CUDA sees in this process, in its own order.

    Raises:
        BackendUnavailable: no library is installed, or there is no driver that it can use.
    """
    with _ours("CUDA"):
        return PyCuda.bus_ids() if available() == PYCUDA else CudaPython.bus_ids()


def ordinal_of(pci_bus_id: str) -> int:
    """What CUDA counts the GPU in that place as, in this process; 0 for "", its first.

    Raises:
        BackendUnavailable: CUDA does not see it; the message says what hides it, and what it sees.
    """
    if not pci_bus_id:
        return 0
    seen = bus_ids()
    for ordinal, place in enumerate(seen):
        if nvml.same_place(place, pci_bus_id):
            return ordinal
    wanted = nvml.at(pci_bus_id)
    named = f"{wanted.name} at {pci_bus_id} (gpu{wanted.index})" if wanted else f"GPU at {pci_bus_id}"
    others = [f"--device gpu{gpu.index} for the {gpu.name}" for gpu in map(nvml.at, seen) if gpu]
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        hidden, remedy = "", "See that nvidia-smi finds it in order and that this user may use it"
    else:
        hidden, remedy = f": CUDA_VISIBLE_DEVICES={setting} hides it", "Type unset CUDA_VISIBLE_DEVICES"
    raise BackendUnavailable(f"CUDA does not see the {named}{hidden}. {', or '.join((remedy, *others))}")


def open_memory(pci_bus_id: str = "") -> DeviceMemory:
    """A stream on the GPU in that place, or on the one that CUDA counts first.

    Raises:
        BackendUnavailable: no library is installed, there is no such GPU, or CUDA does not see it.
    """
    ordinal = ordinal_of(pci_bus_id)
    with _ours(f"GPU {ordinal}"):
        return PyCuda(ordinal) if available() == PYCUDA else CudaPython(ordinal)


@contextmanager
def _ours(what: str) -> Iterator[None]:
    """All that a library raises becomes an error of ours."""
    if available() is None:
        raise BackendUnavailable(f"{what} can't be used: {unavailable_reason()}")
    try:
        yield
    except BackendUnavailable:
        raise
    except Exception as problem:  # pycuda's errors are made at run time
        raise BackendUnavailable(
            f"{what} can't be used: {problem}. Use a machine with an NVIDIA GPU and its driver"
        ) from None


class CudaPython:
    """Through `cuda.bindings.runtime`, which NVIDIA maintains and torch's CUDA build brings along."""

    name = CUDA_PYTHON
    graphs = True

    def __init__(self, ordinal: int) -> None:
        self._cuda: Any = import_module(RUNTIME)
        cuda = self._cuda
        self.ordinal = ordinal
        self._select()
        # the host spins while it waits: a thread that sleeps wakes up late, and the next launch is late too
        self._call(cuda.cudaSetDeviceFlags, cuda.cudaDeviceScheduleSpin)
        self._stream = self._call(cuda.cudaStreamCreateWithFlags, cuda.cudaStreamNonBlocking)
        self._events = [self._call(cuda.cudaEventCreate) for _ in range(2)]
        self._graphs: list[Any] = []

    @property
    def stream(self) -> int:
        return int(self._stream)

    def pci_bus_id(self) -> str:
        return _place(self._cuda, self.ordinal)

    @staticmethod
    def bus_ids() -> tuple[str, ...]:
        """As `exporters.cuda.memory.bus_ids`."""
        cuda: Any = import_module(RUNTIME)
        if cuda.cudaGetDeviceCount()[0] == cuda.cudaError_t.cudaErrorNoDevice:  # also where all are hidden
            cuda.cudaGetLastError()
            return ()
        return tuple(_place(cuda, ordinal) for ordinal in range(_value_of(cuda, "GPUs", cuda.cudaGetDeviceCount)))

    def claim(self, size: int) -> int:
        self._select()
        return int(self._call(self._cuda.cudaMalloc, size))

    def free(self, pointer: int) -> None:
        self._call(self._cuda.cudaFree, pointer)

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._select()
        self._call(self._cuda.cudaMemcpyAsync, pointer, array.ctypes.data, array.nbytes, kind, self._stream)
        self.synchronize()

    def download(self, array: NDArray[Any], pointer: int) -> None:
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._cuda.cudaMemcpyAsync, array.ctypes.data, pointer, array.nbytes, kind, self._stream)
        self.synchronize()

    def synchronize(self) -> None:
        self._call(self._cuda.cudaStreamSynchronize, self._stream)

    def elapsed_ms(self, work: Enqueue) -> float:
        begin, end = self._events
        self._select()
        self._call(self._cuda.cudaEventRecord, begin, self._stream)
        work()
        self._call(self._cuda.cudaEventRecord, end, self._stream)
        self._call(self._cuda.cudaEventSynchronize, end)
        return float(self._call(self._cuda.cudaEventElapsedTime, begin, end))

    def capture(self, enqueue: Enqueue) -> Enqueue:
        cuda = self._cuda
        self._select()
        enqueue()  # whatever is set up on the first call can't be captured
        self.synchronize()
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(cuda.cudaStreamBeginCapture, self._stream, mode)
        try:
            enqueue()
        finally:
            error, *found = cuda.cudaStreamEndCapture(self._stream)
        if error != cuda.cudaError_t.cudaSuccess:
            cuda.cudaGetLastError()  # the error stays with the thread until it is asked for
            raise CaptureFailed(_error_name(cuda, error))
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
        return _value_of(self._cuda, f"GPU {self.ordinal}", function, *arguments)

    def _select(self) -> None:
        """CUDA's current GPU may be another model's; it belongs to the thread."""
        self._call(self._cuda.cudaSetDevice, self.ordinal)


def _value_of(cuda: Any, what: str, function: Callable[..., Sequence[Any]], *arguments: Any) -> Any:
    """The value of a CUDA call, which gives (error,) or (error, value)."""
    error, *values = function(*arguments)
    if error != cuda.cudaError_t.cudaSuccess:
        cuda.cudaGetLastError()
        raise BackendUnavailable(
            f"{function.__name__} on {what}: {_error_name(cuda, error)}. See that nvidia-smi finds the "
            f"GPU and that its memory is free, or use another device"
        )
    return values[0] if values else None


def _place(cuda: Any, ordinal: int) -> str:
    found = _value_of(cuda, f"GPU {ordinal}", cuda.cudaDeviceGetPCIBusId, 32, ordinal)
    return bytes(found).rstrip(b"\0").decode()


def _error_name(cuda: Any, error: Any) -> str:
    _, name = cuda.cudaGetErrorName(error)
    return bytes(name).decode()


class PyCuda:
    """Through pycuda, which has no graphs: each launch is one of the host's."""

    name = PYCUDA
    graphs = False

    def __init__(self, ordinal: int) -> None:
        self._cuda: Any = import_module("pycuda.driver")
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
        """As `exporters.cuda.memory.bus_ids`."""
        cuda: Any = import_module("pycuda.driver")
        cuda.init()
        return tuple(str(cuda.Device(ordinal).pci_bus_id()) for ordinal in range(cuda.Device.count()))

    def claim(self, size: int) -> int:
        allocation = self._cuda.mem_alloc(size)  # freed when nothing holds it
        self._claimed[int(allocation)] = allocation
        return int(allocation)

    def free(self, pointer: int) -> None:
        self._claimed.pop(pointer).free()

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        self._cuda.memcpy_htod_async(pointer, np.ascontiguousarray(array), self._stream)
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
