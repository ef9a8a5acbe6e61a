"""Engines on an NVIDIA GPU: TensorRT 8.6, 10 and 11, and TensorRT-RTX with the same code.

`exporters.cuda.features` lists what the versions do differently, `exporters.cuda.session` runs an engine.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from exporters.backends import CompileSpec
from exporters.cuda import memory, nvml
from exporters.cuda.builder import build_engine
from exporters.cuda.engine import CURRENT, Engine
from exporters.cuda.features import TensorrtFeatures, features_of_module, install_hint, refusal, suffix_of
from exporters.cuda.plans import SUFFIX
from exporters.cuda.session import EngineSession
from exporters.errors import BackendUnavailable, EngineFailed
from exporters.files import cache_folder
from exporters.graph.model import Model, as_model, require_precision


class Backend:
    """TensorRT, or another module with the same API.

    Args:
        module: `tensorrt` or `tensorrt_rtx`; their records are never mixed.
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA.
    """

    def __init__(self, module: str = "tensorrt", gpu: str = "") -> None:
        self.name = module
        self.gpu = gpu

    def on_gpu(self, pci_bus_id: str) -> "Backend":
        """The same module on this GPU."""
        return Backend(self.name, pci_bus_id)

    @property
    def provider(self) -> str:
        """How calls are launched. pycuda has no CUDA graphs, so latencies include the launches."""
        library = memory.available() or "no device memory"
        return f"CUDA graph, {library}" if library == memory.CUDA_PYTHON else f"stream, {library}"

    def unavailable_reason(self) -> str | None:
        return self._why_not_loaded() or self._why_no_gpu()

    def build_unavailable_reason(self) -> str | None:
        """Why no engine can be built here, or None. TensorRT-RTX builds without a GPU."""
        reason = self._why_not_loaded()
        return reason or (None if self._features().builds_without_gpu else self._why_no_gpu())

    def _why_not_loaded(self) -> str | None:
        if find_spec(self.name) is None:
            hint = self._install_hint()
            return f"{self.name} is not installed. {hint[0].upper()}{hint[1:]}"
        try:
            import_module(self.name)
            self._features()
        except BackendUnavailable as problem:
            return str(problem)
        except (ImportError, OSError, RuntimeError) as problem:
            return f"{self.name} cannot be loaded: {problem}. To install it again, {self._install_hint()}"
        return None

    def _install_hint(self) -> str:
        return install_hint(self.name, self._known_capability())

    def version(self) -> str:
        return str(self._trt().__version__)

    def build(self, onnx: Path | Model, spec: CompileSpec, capability: str = CURRENT) -> Engine:
        """Build the engine of a file.

        Raises:
            NotOnnx: the file cannot be read.
            EngineFailed: the parser or the builder refuses it.
            BackendUnavailable: no engine can be built here, or not in this precision.
            WrongPrecision: the precision of the file differs from that of the spec.
        """
        model = as_model(onnx)
        if reason := self.build_unavailable_reason():
            raise BackendUnavailable(f"{self.name} cannot build {model.path.name} here: {reason}")
        require_precision(model, spec.precision)
        self._require_kernels(model, capability)
        with self._selected() if capability == CURRENT and nvml.gpus() else nullcontext():
            engine = build_engine(self._trt(), model, spec.batch_range, capability, self._timing_cache(), detailed=True)
        return replace(engine, capability=self._capability()) if capability == CURRENT else engine

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> "EngineSession":
        """Build the engine of an ONNX file, or load an engine.

        Raises:
            EngineFailed: also if an engine was built by another TensorRT or for another GPU.
        """
        model = as_model(onnx)
        path, plan = model.path, b""
        if path.suffix == SUFFIX:
            if not path.exists():
                raise EngineFailed(f"{path} does not exist. Run nastool export --engine, or name another file")
            plan = path.read_bytes()
        else:
            _ = model.proto  # an invalid file is reported even if TensorRT is not available
        if reason := self.unavailable_reason():
            raise BackendUnavailable(f"{self.name} cannot run {path.name} here: {reason}")
        return EngineSession(self._trt(), plan or self.build(model, spec).plan, spec, path.name, self.gpu)

    def _timing_cache(self) -> Path | None:
        """The timing cache of this GPU model and version; with it, rebuilt engines use the same tactics."""
        if not self._features().timing_cache:
            return None
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"tensorrt-{self.version()}-{suffix_of(self._capability())}.timing"

    def _require_kernels(self, model: Model, capability: str) -> None:
        """Refuse a precision that this version does not compute, or not on this GPU."""
        built_for = self._known_capability() if capability == CURRENT else capability
        if not self._features().computes(model.precision, built_for):
            where = f" on compute capability {built_for}" if built_for else ""
            raise BackendUnavailable(
                f"{self.name} {self.version()} has no {model.precision} kernels{where}, so {model.path.name} cannot be "
                f"built. Use --precision fp32"
            )

    @contextmanager
    def _selected(self) -> Iterator[None]:
        """Make our GPU the current one of CUDA, on which a builder times tactics."""
        gpu = memory.open_memory(self.gpu)
        try:
            yield
        finally:
            gpu.close()

    def _capability(self) -> str:
        return self._known_capability() or CURRENT

    def _known_capability(self) -> str:
        """The compute capability of our GPU; "" if there is none, or its driver does not say."""
        gpu = self._described()
        return gpu.capability if gpu else ""

    def _features(self) -> TensorrtFeatures:
        return features_of_module(self._trt())

    def _described(self) -> nvml.Gpu | None:
        """The description of our GPU in NVML, whose numbering differs from that of CUDA."""
        gpus = nvml.gpus()
        visible: tuple[str, ...] = ()
        if not self.gpu and len(gpus) > 1:
            with suppress(BackendUnavailable):  # no library, or no driver
                visible = memory.bus_ids()
        return memory.gpu_at(self.gpu, visible, gpus)

    def _trt(self) -> ModuleType:
        return import_module(self.name)

    def _why_no_gpu(self) -> str | None:
        gpu = self._described()
        if gpu is None:
            return "there is no NVIDIA GPU with its driver on this machine. Use a machine that has both"
        return refusal(self.name, self.version(), gpu.name, gpu.capability) or memory.unavailable_reason(self.gpu)
