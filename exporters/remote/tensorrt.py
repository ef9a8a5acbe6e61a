"""TensorRT on a remote device: it builds the engine of a file that is sent, and runs it."""

from dataclasses import asdict
from pathlib import Path

from exporters.agent.file_cache import PLAN
from exporters.backends import CompileSpec
from exporters.backends.tensorrt import read_plan, source_of
from exporters.cuda.engine import CURRENT, Engine
from exporters.cuda.engine_cache import EngineSpec
from exporters.cuda.features import features_of
from exporters.cuda.plans import SUFFIX
from exporters.errors import BackendUnavailable, DeviceFailed
from exporters.graph.model import Model, as_model, require_precision
from exporters.remote.connection import PART_BYTES, Connection, RemoteError
from exporters.remote.content import content_of
from exporters.remote.messages import Built, Nothing, TensorrtState
from exporters.remote.requirements import missing_packages
from exporters.remote.session import ENGINE_S, Session, engine_error, load_engine


class TensorRT:
    """TensorRT, or TensorRT-RTX, on a GPU of a remote device.

    Args:
        module: `tensorrt` or `tensorrt_rtx`.
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA there.
    """

    def __init__(self, connection: Connection, module: str, gpu: str = "") -> None:
        self.name = module
        self._connection = connection
        self._gpu = gpu

    def on_gpu(self, pci_bus_id: str) -> "TensorRT":
        """The same module on this GPU."""
        return TensorRT(self._connection, self.name, pci_bus_id)

    @property
    def provider(self) -> str:
        return self._state().provider

    def unavailable_reason(self) -> str | None:
        return self._without_numpy() or self._state().reason

    def build_unavailable_reason(self) -> str | None:
        """Why no engine can be built on the device, or None."""
        return self._without_numpy() or self._state().build_reason

    def version(self) -> str:
        return self._state().version

    def build(self, onnx: Path | Model, spec: CompileSpec, capability: str = CURRENT) -> Engine:
        """Build the engine of a file on the device, and fetch it.

        Raises:
            NotOnnx, EngineFailed, WrongPrecision: the file cannot be read, or the builder refuses it.
            BackendUnavailable: no engine can be built there, or not in this precision.
            ConnectionLost, DeviceFailed: the device cannot be used any more.
        """
        model = as_model(onnx)
        if reason := self.build_unavailable_reason():
            raise BackendUnavailable(f"{self.name} cannot build {model.path.name} on {self._connection.name}: {reason}")
        built_from = asdict(self._spec(model, spec, capability))
        try:
            built, _ = self._connection.request("build", Built, timeout_s=ENGINE_S, spec=built_from)
        except RemoteError as problem:
            raise engine_error(problem, self._connection.name) from None
        engine = Engine(self._fetch(built), built.capability, built.built_by, built.convolutions)
        if engine.sha256 != built.sha256:
            raise DeviceFailed(f"{self._connection.name} sent a damaged engine. Run the same command again")
        return engine

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> Session:
        """Build the engine of an ONNX file on the device, or load an engine there."""
        model = as_model(onnx)
        if model.path.suffix == SUFFIX:
            plan = read_plan(model.path)
        else:
            _ = model.proto  # an invalid file is reported even if TensorRT is not available
        if reason := self.unavailable_reason():
            raise BackendUnavailable(f"{self.name} cannot run {model.path.name} on {self._connection.name}: {reason}")
        if model.path.suffix == SUFFIX:
            digest, batches = self._connection.upload(plan, PLAN), spec.batch_range.as_tuple
            loaded = EngineSpec(self.name, self._gpu, digest, model.path.name, spec.precision, batches, is_plan=True)
        else:
            loaded = self._spec(model, spec, CURRENT)
        return load_engine(self._connection, asdict(loaded), spec.batch)

    def _spec(self, model: Model, spec: CompileSpec, capability: str) -> EngineSpec:
        """The engine of a file, which is sent to the device in an opset that its TensorRT reads."""
        require_precision(model, spec.precision)
        source = source_of(model, features_of(self.name, self.version()))
        digest = self._connection.upload(source.content or content_of(model))
        batches = spec.batch_range.as_tuple
        return EngineSpec(self.name, self._gpu, digest, source.name, source.precision, batches, capability)

    def _fetch(self, built: Built) -> bytes:
        plan = bytearray()
        while len(plan) < built.n_bytes:
            size = min(PART_BYTES, built.n_bytes - len(plan))
            try:
                _, part = self._connection.request("plan", Nothing, key=built.key, offset=len(plan), size=size)
            except RemoteError as problem:
                raise engine_error(problem, self._connection.name) from None
            if len(part) != size:
                raise DeviceFailed(f"{self._connection.name} sent a part of an engine. Run the same command again")
            plan += part
        return bytes(plan)

    def _without_numpy(self) -> str | None:
        return missing_packages(self._connection, ("numpy",), f"numpy {self.name} cuda-bindings")

    def _state(self) -> TensorrtState:
        return self._connection.facts.tensorrt(self.name, self._gpu)
