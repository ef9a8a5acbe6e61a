"""ONNX Runtime: on the CPU, or through its CUDA or TensorRT provider where they are."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from exporters.backends import Arrays, CompileSpec
from exporters.errors import BackendUnavailable, NotOnnx
from exporters.timing import Timing, time_calls

CPU = "CPUExecutionProvider"
REMEDY = (
    "It needs an NVIDIA GPU with its driver, and CUDA and cuDNN libraries of the version that onnxruntime-gpu names"
)
ERRORS_ONLY = 3


class Backend:
    """Sessions with all of ONNX Runtime's graph optimisations."""

    name = "onnxruntime"

    def __init__(self, provider: str = CPU) -> None:
        self.provider = provider

    def why_not(self) -> str | None:
        if self.provider not in ort.get_available_providers():
            return f"this build of onnxruntime has no {self.provider}. Type pip install onnxruntime-gpu"
        if self.provider != CPU and not Path("/dev/nvidiactl").exists():
            return f"there is no NVIDIA driver on this machine. {REMEDY}"
        return None

    def version(self) -> str:
        return str(ort.__version__)

    def compile(self, onnx: Path, spec: CompileSpec) -> "Session":
        if spec.precision != "fp32":
            raise BackendUnavailable(f"onnxruntime runs a file in its own precision, not in {spec.precision}")
        if not onnx.exists():
            raise NotOnnx(f"{onnx} is not there")
        try:
            session = ort.InferenceSession(str(onnx), _options(spec), providers=[self.provider])
        except Exception as problem:  # onnxruntime's errors share no base of their own
            reason = str(problem).splitlines()[0]
            raise NotOnnx(f"onnxruntime can't load {onnx}: {reason}. Export it again, or name another file") from None
        return Session(session, spec.batch)


class Session:
    """One loaded file."""

    def __init__(self, session: ort.InferenceSession, batch: int) -> None:
        self._session: ort.InferenceSession | None = session
        self._binding = session.io_binding()
        rng = np.random.default_rng(0)
        for entry in session.get_inputs():
            shape = [size if isinstance(size, int) else batch for size in entry.shape]
            images = rng.standard_normal(shape, dtype=np.float32)  # zeros would be quicker than real images
            self._binding.bind_cpu_input(entry.name, images)
        for entry in session.get_outputs():
            self._binding.bind_output(entry.name)

    def run(self, feeds: Arrays) -> dict[str, NDArray[np.float32]]:
        assert self._session is not None, "the session was closed"
        outputs = [entry.name for entry in self._session.get_outputs()]
        return dict(zip(outputs, self._session.run(outputs, dict(feeds)), strict=True))

    def time(self, min_ms: float) -> Timing:
        session = self._session
        assert session is not None, "the session was closed"
        return time_calls(lambda: session.run_with_iobinding(self._binding), min_ms)

    def close(self) -> None:
        self._session = None
        del self._binding


def _options(spec: CompileSpec) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = spec.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    # Sessions of all parts live at the same time; arenas that never shrink would take gigabytes.
    options.enable_cpu_mem_arena = False
    return options
