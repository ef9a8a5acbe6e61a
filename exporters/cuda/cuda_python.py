"""Device memory through cuda-python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from exporters.cuda.device_memory import CaptureFailed, Enqueue
from exporters.errors import BackendUnavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUNTIME = "cuda.bindings.runtime"


class CudaPython:
    """Device memory through `cuda.bindings.runtime`, which NVIDIA maintains and torch's CUDA build installs."""

    name = "cuda-python"

    def __init__(self, ordinal: int) -> None:
        self._cuda = import_module(RUNTIME)
        cuda = self._cuda
        self.ordinal = ordinal
        self._select()
        # the host spins while it waits: a sleeping thread wakes up late and delays the next launch
        self._call(cuda.cudaSetDeviceFlags, cuda.cudaDeviceScheduleSpin)
        self._stream = self._call(cuda.cudaStreamCreateWithFlags, cuda.cudaStreamNonBlocking)
        self._events = [self._call(cuda.cudaEventCreate) for _ in range(2)]
        self._graphs: list[Any] = []

    @property
    def stream(self) -> int:
        return int(self._stream)

    def pci_bus_id(self) -> str:
        return _bus_id(self._cuda, self.ordinal)

    @staticmethod
    def bus_ids() -> tuple[str, ...]:
        """The PCI bus ids of the GPUs that CUDA sees, in its order."""
        cuda = import_module(RUNTIME)
        if cuda.cudaGetDeviceCount()[0] == cuda.cudaError_t.cudaErrorNoDevice:  # also if all are hidden
            cuda.cudaGetLastError()
            return ()
        return tuple(_bus_id(cuda, ordinal) for ordinal in range(_value_of(cuda, "GPUs", cuda.cudaGetDeviceCount)))

    @staticmethod
    def capability_and_cuda() -> tuple[tuple[int, int], int]:
        """The compute capability of the first GPU, and the CUDA version of its driver as 12060."""
        cuda = import_module(RUNTIME)
        attribute = cuda.cudaDeviceAttr
        major = _value_of(cuda, "GPU 0", cuda.cudaDeviceGetAttribute, attribute.cudaDevAttrComputeCapabilityMajor, 0)
        minor = _value_of(cuda, "GPU 0", cuda.cudaDeviceGetAttribute, attribute.cudaDevAttrComputeCapabilityMinor, 0)
        return (int(major), int(minor)), int(_value_of(cuda, "CUDA", cuda.cudaDriverGetVersion))

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
        enqueue()  # the setup of a first call cannot be captured
        self.synchronize()
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(cuda.cudaStreamBeginCapture, self._stream, mode)
        try:
            enqueue()
        finally:
            error, *graphs = cuda.cudaStreamEndCapture(self._stream)
        if error != cuda.cudaError_t.cudaSuccess:
            cuda.cudaGetLastError()  # the error stays set for the thread until it is read
            raise CaptureFailed(_error_name(cuda, error))
        graph = self._call(cuda.cudaGraphInstantiate, graphs[0], 0)
        self._call(cuda.cudaGraphDestroy, graphs[0])
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
        """Make this GPU the current one of the thread; another model may have changed it."""
        self._call(self._cuda.cudaSetDevice, self.ordinal)


def _value_of(cuda: ModuleType, what: str, function: Callable[..., Sequence[Any]], *arguments: Any) -> Any:
    """The value of a CUDA call, which returns (error,) or (error, value)."""
    error, *values = function(*arguments)
    if error != cuda.cudaError_t.cudaSuccess:
        cuda.cudaGetLastError()
        raise BackendUnavailable(
            f"{function.__name__} on {what}: {_error_name(cuda, error)}. Check that nvidia-smi lists the "
            f"GPU and that its memory is free, or use another device"
        )
    return values[0] if values else None


def _bus_id(cuda: ModuleType, ordinal: int) -> str:
    text = _value_of(cuda, f"GPU {ordinal}", cuda.cudaDeviceGetPCIBusId, 32, ordinal)
    return bytes(text).rstrip(b"\0").decode()


def _error_name(cuda: ModuleType, error: Any) -> str:
    _, name = cuda.cudaGetErrorName(error)
    return bytes(name).decode()
