"""ONNX Runtime on the CPU, or with its CUDA or TensorRT provider.

On a GPU the host launches each kernel, since the CUDA graphs of both providers are off; latencies include the launches.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporters.backends import Arrays, CompileSpec
from exporters.cuda import memory
from exporters.cuda.device_memory import DeviceMemory
from exporters.cuda.provider_library import missing_library
from exporters.cuda.timing import GpuTimer
from exporters.errors import BackendUnavailable, NotOnnx
from exporters.graph.half_scales import without_integer_fusions
from exporters.graph.model import Model, as_model, require_precision
from exporters.timing import Timing, time_calls

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
NEEDED = {CUDA: "CUDA and cuDNN", TENSORRT: "CUDA, cuDNN and TensorRT"}

WARNINGS, ERRORS, FATAL = 2, 3, 4  # log levels of ONNX Runtime


class Backend:
    """Sessions with all graph optimizations of ONNX Runtime.

    Args:
        provider: the name of the execution provider.
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA.
    """

    name = "onnxruntime"

    def __init__(self, provider: str = CPU, gpu: str = "") -> None:
        self.provider = provider
        self.gpu = gpu

    def on_gpu(self, pci_bus_id: str) -> "Backend":
        """The same provider on this GPU; the CUDA provider instead of that of the CPU."""
        return Backend(CUDA if self.provider == CPU else self.provider, pci_bus_id)

    def unavailable_reason(self) -> str | None:
        """Tries to load the provider: the list of providers only contains those that the wheel was built with."""
        if self.provider not in ort.get_available_providers():
            return f"this build of onnxruntime has no {self.provider}. Run pip install onnxruntime-gpu"
        if self.provider == CPU:
            return None
        if not _has_nvidia_driver():
            return "there is no NVIDIA driver on this machine. Use one with an NVIDIA GPU and its driver"
        if self.gpu and (reason := memory.unavailable_reason(self.gpu)):
            return reason
        if not _loads(self.provider, memory.ordinal_of(self.gpu)):
            cannot = f"onnxruntime {ort.__version__} cannot load {self.provider}"
            if self.provider == TENSORRT and (reason := missing_library()):
                return f"{cannot}: {reason}"
            needed = NEEDED.get(self.provider, "its")
            return (
                f"{cannot}. Install {needed} libraries of the versions on "
                f"https://onnxruntime.ai/docs/execution-providers"
            )
        return memory.unavailable_reason()

    def version(self) -> str:
        return str(ort.__version__)

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> "Session":
        model = as_model(onnx)
        path = model.path
        if not path.exists():
            raise NotOnnx(f"{path} does not exist. Export it first, or name another file")
        if reason := self.unavailable_reason():  # ONNX Runtime would fall back to the CPU without an error
            raise BackendUnavailable(f"{self.provider} cannot run {path.name} here: {reason}")
        require_precision(model, spec.precision)
        _share_memory()
        gpu = None if self.provider == CPU else memory.open_memory(self.gpu)
        try:
            chosen = (self.provider, _provider_options(self.provider, gpu))
            session = ort.InferenceSession(str(path), _options(spec, model.half_scales), providers=[chosen])
            return Session(session, spec.batch, spec.threads, gpu)
        except Exception as problem:  # onnxruntime's errors have no common base class
            if gpu is not None:
                gpu.close()
            reason = str(problem).splitlines()[0]
            raise NotOnnx(f"onnxruntime cannot run {path}: {reason}. Export it again") from None


class Session:
    """A loaded file, with a random input batch and output memory on the device."""

    def __init__(
        self, session: ort.InferenceSession, batch: int, threads: int = 1, gpu: DeviceMemory | None = None
    ) -> None:
        self._session: ort.InferenceSession | None = session
        self._gpu = gpu
        self._timer: GpuTimer | None = None
        self._binding, self._inputs = _bind(session, batch, gpu.ordinal if gpu else 0)
        self._one_thread = threads == 1  # only then the CPU time of this thread is that of the call

    def run(self, feeds: Arrays) -> dict[str, NDArray[np.float32]]:
        session = self._open()
        types = {entry.name: _numpy_type(entry) for entry in session.get_inputs()}
        outputs = session.run(None, {name: values.astype(types[name], copy=False) for name, values in feeds.items()})
        names = [entry.name for entry in session.get_outputs()]
        return {name: values.astype(np.float32, copy=False) for name, values in zip(names, outputs, strict=True)}

    def time(self, min_ms: float) -> Timing:
        session, binding = self._open(), self._binding
        if self._gpu is None:
            return time_calls(lambda: session.run_with_iobinding(binding), min_ms, one_thread=self._one_thread)
        if self._timer is None:
            self._timer = GpuTimer(self._gpu, lambda: session.run_with_iobinding(binding))
        return self._timer.time(min_ms)

    def close(self) -> None:
        self._session = self._binding = self._timer = None
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None
        self._inputs = []

    def _open(self) -> ort.InferenceSession:
        if self._session is None:
            raise ValueError("this session was closed. Compile the file again")
        return self._session


def _options(spec: CompileSpec, half_scales: bool = False) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = spec.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS
    if half_scales:
        without_integer_fusions(options)
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Threads may spin during a call, as in production, but not while another model is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _provider_options(provider: str, gpu: DeviceMemory | None) -> dict[str, str]:
    """Run GPU calls on our stream, whose events time them."""
    if gpu is None:
        return {}
    options = {"device_id": str(gpu.ordinal), "user_compute_stream": str(gpu.stream)}
    # TF32 (10 bits of mantissa) is on by default; the TensorRT provider has no such option
    return options | ({"use_tf32": "0"} if provider == CUDA else {})


@cache
def _share_memory() -> None:
    """One memory arena for all sessions of the process.

    Measured on the 34 variants of the paper's space at batch 32: 3.0 GB with an arena for each session; 1.6 GB with
    none, but 1.5 times as slow, since each call allocates new pages; 1.2 GB with one for all.
    """
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, None)


def _bind(session: ort.InferenceSession, batch: int, ordinal: int) -> tuple[ort.IOBinding, list[ort.OrtValue]]:
    """Bind inputs and outputs on the device, so that a timed call copies nothing; also returns the inputs."""
    device = "cpu" if session.get_providers()[0] == CPU else "cuda"
    binding = session.io_binding()
    inputs = []
    for entry in session.get_inputs():
        shape = tuple(size if isinstance(size, int) else batch for size in entry.shape)
        inputs.append(_random_images(shape, _numpy_type(entry), device, ordinal))
        binding.bind_ortvalue_input(entry.name, inputs[-1])
    for entry in session.get_outputs():
        binding.bind_output(entry.name, device, ordinal)
    session.run_with_iobinding(binding)  # a file may lack the shapes of its outputs; a call has them
    for entry, value in zip(session.get_outputs(), binding.get_outputs(), strict=True):
        binding.bind_ortvalue_output(entry.name, value)
    return binding, inputs


_IN_USE: WeakValueDictionary[tuple[Any, ...], ort.OrtValue] = WeakValueDictionary()


def _random_images(shape: tuple[int, ...], dtype: type[np.floating[Any]], device: str, ordinal: int) -> ort.OrtValue:
    """Normally distributed images; zeros would be faster than real ones.

    Sessions only read them, so those of one shape share one copy while a session holds it: half of the memory of a
    network of the paper's size at batch 32.
    """
    images = _IN_USE.get((shape, dtype, device, ordinal))
    if images is None:
        drawn = np.random.default_rng(0).standard_normal(shape, dtype=np.float32).astype(dtype)
        images = _IN_USE[shape, dtype, device, ordinal] = ort.OrtValue.ortvalue_from_numpy(drawn, device, ordinal)
    return images


def _numpy_type(entry: ort.NodeArg) -> type[np.floating[Any]]:
    """Inputs and outputs of fp16 files may be float16 too."""
    return np.float16 if entry.type == "tensor(float16)" else np.float32


def _has_nvidia_driver() -> bool:
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False


@cache
def _loads(provider: str, ordinal: int) -> bool:
    """Whether a session uses this provider; ONNX Runtime falls back to the CPU silently."""
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    logits = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "try", [images], [logits])
    # versions that all recent releases of ONNX Runtime read
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with _silent():
        ort.preload_dlls()  # finds the libraries that torch's wheels brought
        try:
            session = ort.InferenceSession(
                model.SerializeToString(), providers=[(provider, {"device_id": str(ordinal)})]
            )
        except Exception:  # onnxruntime's errors have no common base class
            return False
    return bool(session.get_providers()[0] == provider)


@contextmanager
def _silent() -> Iterator[None]:
    """Silence what ONNX Runtime prints if a provider cannot be loaded; our error message has the reason."""
    ort.set_default_logger_severity(FATAL)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        ort.set_default_logger_severity(WARNINGS)
