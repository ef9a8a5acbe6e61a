"""ONNX Runtime on the CPU, or with its CUDA or TensorRT provider (`exporters.cuda.onnxruntime_gpu`)."""

from pathlib import Path

import onnxruntime as ort

from exporters.agent.session import CPU, Session, load_on_cpu
from exporters.backends import CompileSpec
from exporters.cuda.onnxruntime_gpu import CUDA, TENSORRT, load_on_gpu, unavailable_reason
from exporters.errors import BackendUnavailable, NotOnnx, first_line
from exporters.graph.model import Model, as_model, require_precision

__all__ = ["CUDA", "TENSORRT", "Backend", "Session"]


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
        return Backend(gpu_provider(self.provider), pci_bus_id)

    def unavailable_reason(self) -> str | None:
        return None if self.provider == CPU else unavailable_reason(self.provider, self.gpu)

    def version(self) -> str:
        return str(ort.__version__)

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> Session:
        model = as_model(onnx)
        path = model.path
        if not path.exists():
            raise NotOnnx(f"{path} does not exist. Export it first, or name another file")
        if reason := self.unavailable_reason():  # ONNX Runtime would fall back to the CPU without an error
            raise BackendUnavailable(f"{self.provider} cannot run {path.name} here: {reason}")
        require_precision(model, spec.precision)
        fusions = not model.half_scales
        try:
            if self.provider == CPU:
                return load_on_cpu(str(path), spec.batch, spec.threads, fusions)
            return load_on_gpu(str(path), self.provider, self.gpu, spec.batch, spec.threads, fusions)
        except BackendUnavailable:
            raise
        except Exception as problem:  # onnxruntime's errors have no common base class
            raise NotOnnx(f"onnxruntime cannot run {path}: {first_line(problem)}. Export it again") from None


def gpu_provider(provider: str) -> str:
    """The provider for a GPU: that of CUDA instead of that of the CPU."""
    return CUDA if provider == CPU else provider
