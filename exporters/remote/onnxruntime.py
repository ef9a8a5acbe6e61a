"""ONNX Runtime on a remote device: on its CPU, or with a provider for its GPU."""

from pathlib import Path

from exporters.agent.session import CPU
from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import gpu_provider
from exporters.errors import BackendUnavailable, NotOnnx
from exporters.graph.model import Model, as_model, require_precision
from exporters.remote.connection import Connection, RemoteError
from exporters.remote.content import content_of
from exporters.remote.requirements import missing_packages
from exporters.remote.session import Session, load, translated


class OnnxRuntime:
    """ONNX Runtime on a remote device.

    Args:
        provider: the name of the execution provider.
        gpu: the PCI bus id of the GPU; None for the CPU.
    """

    name = "onnxruntime"

    def __init__(self, connection: Connection, provider: str = CPU, gpu: str | None = None) -> None:
        self.provider = provider
        self._connection = connection
        self._gpu = gpu

    def on_gpu(self, pci_bus_id: str) -> "OnnxRuntime":
        """The same provider on this GPU; the CUDA provider instead of that of the CPU."""
        return OnnxRuntime(self._connection, gpu_provider(self.provider), pci_bus_id)

    def unavailable_reason(self) -> str | None:
        packages = "numpy onnxruntime" if self._gpu is None else "numpy onnxruntime-gpu"
        if reason := missing_packages(self._connection, ("numpy", "onnxruntime"), packages):
            return reason
        return None if self._gpu is None else self._connection.facts.provider(self.provider, self._gpu).reason

    def version(self) -> str:
        return self._connection.hello.onnxruntime

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> Session:
        model = as_model(onnx)
        if reason := self.unavailable_reason():
            raise BackendUnavailable(reason)
        require_precision(model, spec.precision)
        digest = self._connection.upload(content_of(model))
        try:
            return load(
                self._connection,
                digest,
                batch=spec.batch,
                threads=spec.threads,
                integer_fusions=not model.half_scales,
                provider=self.provider,
                gpu=self._gpu,
            )
        except RemoteError as problem:
            raise self._refused(model, problem) from None

    def _refused(self, model: Model, problem: RemoteError) -> Exception:
        name = self._connection.name
        return translated(problem, name) or NotOnnx(
            f"onnxruntime {self.version()} on {name} cannot run {model.path}: {problem}. "
            f"Install a newer onnxruntime there if this machine runs the file, or export it again"
        )
