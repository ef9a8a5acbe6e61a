"""Engines on an NVIDIA GPU: TensorRT 8.6, 10 and 11, and TensorRT-RTX with the same code.

`exporters.cuda.features` lists what the versions do differently, `exporters.cuda.tensorrt_runtime` drives them.
"""

from pathlib import Path

from exporters.backends import CompileSpec
from exporters.cuda.engine import CURRENT, Engine
from exporters.cuda.features import TensorrtFeatures
from exporters.cuda.parsing import OnnxSource
from exporters.cuda.plans import SUFFIX
from exporters.cuda.session import EngineSession
from exporters.cuda.tensorrt_runtime import TensorrtRuntime
from exporters.errors import BackendUnavailable, EngineFailed
from exporters.files import cache_folder
from exporters.graph.model import Model, as_model, require_precision
from exporters.graph.opset import in_opset, opset_of


class Backend:
    """TensorRT, or another module with the same API.

    Args:
        module: `tensorrt` or `tensorrt_rtx`; their records are never mixed.
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA.
    """

    def __init__(self, module: str = "tensorrt", gpu: str = "") -> None:
        self.name = module
        self.gpu = gpu
        self._runtime = TensorrtRuntime(module, gpu, cache_folder())

    def on_gpu(self, pci_bus_id: str) -> "Backend":
        """The same module on this GPU."""
        return Backend(self.name, pci_bus_id)

    @property
    def provider(self) -> str:
        return self._runtime.provider

    def unavailable_reason(self) -> str | None:
        return self._runtime.unavailable_reason()

    def build_unavailable_reason(self) -> str | None:
        """Why no engine can be built here, or None. TensorRT-RTX builds without a GPU."""
        return self._runtime.build_unavailable_reason()

    def version(self) -> str:
        return self._runtime.version()

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
        return self._runtime.build(source_of(model, self._runtime.features()), spec.batch_range, capability)

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> EngineSession:
        """Build the engine of an ONNX file, or load an engine.

        Raises:
            EngineFailed: also if an engine was built by another TensorRT or for another GPU.
        """
        model = as_model(onnx)
        path, plan = model.path, b""
        if path.suffix == SUFFIX:
            plan = read_plan(path)
        else:
            _ = model.proto  # an invalid file is reported even if TensorRT is not available
        if reason := self.unavailable_reason():
            raise BackendUnavailable(f"{self.name} cannot run {path.name} here: {reason}")
        return self._runtime.session(plan or self.build(model, spec).plan, path.name, spec.batch, spec.precision)


def read_plan(path: Path) -> bytes:
    """The content of an engine file.

    Raises:
        EngineFailed: there is no such file.
    """
    if not path.exists():
        raise EngineFailed(f"{path} does not exist. Run nastool export --engine, or name another file")
    return path.read_bytes()


def source_of(model: Model, features: TensorrtFeatures) -> OnnxSource:
    """The file as a version of TensorRT parses it: in an earlier opset, if it is too new for it.

    Raises:
        NotOnnx: the file cannot be read.
        ExportFailed: an operator has no equivalent in that opset.
    """
    content = b""
    if features.opset is not None and opset_of(model.proto) > features.opset:
        content = in_opset(model.proto, features.opset, str(model.path)).SerializeToString()
    return OnnxSource(model.path, str(model.path), model.precision, content)
