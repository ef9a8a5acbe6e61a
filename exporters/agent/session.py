"""A session of ONNX Runtime that is run and timed: the same code on this machine and on a remote device."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Callable, Protocol
from weakref import WeakValueDictionary

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from exporters.agent.throttling import throttling
from exporters.timing import Timing, time_calls

CPU = "CPUExecutionProvider"
ERRORS = 3  # a log level of ONNX Runtime


class Timer(Protocol):
    """Times the launches of one model on a GPU."""

    def time(self, min_ms: float) -> Timing:
        """Warm up, then time launches for about `min_ms` milliseconds."""


class Gpu(Protocol):
    """The memory and the stream of a GPU."""

    ordinal: int

    def close(self) -> None:
        """Release it."""


class Session:
    """A loaded file, with a random input batch and output memory on the device.

    Args:
        gpu, timer: of a session that runs on a GPU; `timer` makes the timer of its launches.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        batch: int,
        threads: int = 1,
        gpu: Gpu | None = None,
        timer: Callable[[Callable[[], object]], Timer] | None = None,
    ) -> None:
        self._session: ort.InferenceSession | None = session
        self._gpu = gpu
        self._new_timer = timer
        self._timer: Timer | None = None
        self._binding, self._inputs = _bind(session, batch, gpu.ordinal if gpu else 0)
        self._one_thread = threads == 1  # only then the CPU time of this thread is that of the call

    def run(self, feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name, at any batch size."""
        session = self._open()
        types = {entry.name: _numpy_type(entry) for entry in session.get_inputs()}
        outputs = session.run(None, {name: values.astype(types[name], copy=False) for name, values in feeds.items()})
        names = [entry.name for entry in session.get_outputs()]
        return {name: values.astype(np.float32, copy=False) for name, values in zip(names, outputs)}

    def time(self, min_ms: float) -> Timing:
        """Warm up, then time calls for about `min_ms` milliseconds."""
        session, binding = self._open(), self._binding
        if self._new_timer is None:
            call = partial(session.run_with_iobinding, binding)
            return throttling().during(lambda: time_calls(call, min_ms, one_thread=self._one_thread))
        if self._timer is None:
            self._timer = self._new_timer(lambda: session.run_with_iobinding(binding))
        return self._timer.time(min_ms)

    def close(self) -> None:
        """Free its memory. It cannot be used afterwards."""
        self._session = self._binding = self._timer = self._new_timer = None
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None
        self._inputs = []

    def _open(self) -> ort.InferenceSession:
        if self._session is None:
            raise ValueError("this session was closed. Compile the file again")
        return self._session


def load_on_cpu(path: str, batch: int, threads: int, integer_fusions: bool = True) -> Session:
    """A session on the CPU.

    Raises:
        Exception: ONNX Runtime cannot load or run the file; its errors have no common base class.
    """
    share_memory()
    session = ort.InferenceSession(path, session_options(threads, integer_fusions), providers=[CPU])
    return Session(session, batch, threads)


def session_options(threads: int, integer_fusions: bool = True) -> ort.SessionOptions:
    """The options of every session that is timed.

    Args:
        integer_fusions: False for files with float16 scales.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS
    if not integer_fusions:
        without_integer_fusions(options)
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Threads may spin during a call, as in production, but not while another model is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def without_integer_fusions(options: ort.SessionOptions) -> None:
    """Compute Q and DQ as they are written. ONNX Runtime 1.31 fuses QLinearConcat with scales that it then refuses."""
    options.add_session_config_entry("session.disable_quant_qdq", "1")


@cache
def share_memory() -> None:
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
        inputs.append(random_images(shape, _numpy_type(entry), device, ordinal))
        binding.bind_ortvalue_input(entry.name, inputs[-1])
    for entry in session.get_outputs():
        binding.bind_output(entry.name, device, ordinal)
    session.run_with_iobinding(binding)  # a file may lack the shapes of its outputs; a call has them
    for entry, value in zip(session.get_outputs(), binding.get_outputs()):
        binding.bind_ortvalue_output(entry.name, value)
    return binding, inputs


IN_USE: WeakValueDictionary[tuple[Any, ...], ort.OrtValue] = WeakValueDictionary()


def random_images(shape: tuple[int, ...], dtype: type[np.floating[Any]], device: str, ordinal: int) -> ort.OrtValue:
    """Normally distributed images; zeros would be faster than real ones.

    Sessions only read them, so those of one shape share one copy while a session holds it: half of the memory of a
    network of the paper's size at batch 32.
    """
    images = IN_USE.get((shape, dtype, device, ordinal))
    if images is None:
        drawn = np.random.default_rng(0).standard_normal(shape, dtype=np.float32).astype(dtype)
        images = IN_USE[shape, dtype, device, ordinal] = ort.OrtValue.ortvalue_from_numpy(drawn, device, ordinal)
    return images


def _numpy_type(entry: ort.NodeArg) -> type[np.floating[Any]]:
    """Inputs and outputs of fp16 files may be float16 too."""
    return np.float16 if entry.type == "tensor(float16)" else np.float32
