"""TensorRT as it is installed on this machine, with one of its GPUs: what it can do, builds and sessions.

The same code on the workstation (`exporters.backends.tensorrt`) and on a remote device (`exporters.agent.engines`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from exporters.cuda import gpus, memory
from exporters.cuda.builder import build_engine
from exporters.cuda.engine import CURRENT, BatchRange, Engine
from exporters.cuda.features import TensorrtFeatures, features_of_module, install_hint, refusal, suffix_of
from exporters.cuda.gpu import Gpu
from exporters.cuda.parsing import OnnxSource
from exporters.cuda.session import EngineRun, EngineSession
from exporters.errors import BackendUnavailable


class TensorrtRuntime:
    """TensorRT, or another module with the same API.

    Args:
        module: `tensorrt` or `tensorrt_rtx`.
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA.
        cache: the folder of timing caches.
    """

    def __init__(self, module: str, gpu: str, cache: Path) -> None:
        self.module = module
        self.gpu = gpu
        self._cache = cache

    @property
    def provider(self) -> str:
        """How calls are launched. pycuda has no CUDA graphs, so latencies include the launches."""
        library = memory.available() or "no device memory"
        return f"CUDA graph, {library}" if library == memory.CUDA_PYTHON else f"stream, {library}"

    def unavailable_reason(self) -> str | None:
        """Why no engine can run here and what to do about it, or None."""
        return self._why_not_loaded() or self._why_no_gpu()

    def build_unavailable_reason(self) -> str | None:
        """Why no engine can be built here, or None. TensorRT-RTX builds without a GPU."""
        reason = self._why_not_loaded()
        return reason or (None if self.features().builds_without_gpu else self._why_no_gpu())

    def summary(self) -> dict[str, str | None]:
        """Its version and provider, and why it cannot run or build here; the version is "" if it cannot be loaded."""
        version = "" if self._why_not_loaded() else self.version()
        reasons = {"reason": self.unavailable_reason(), "build_reason": self.build_unavailable_reason()}
        return {"version": version, "provider": self.provider, **reasons}

    def version(self) -> str:
        """The full version of the module."""
        return str(self._trt().__version__)

    def features(self) -> TensorrtFeatures:
        """What this version can do."""
        return features_of_module(self._trt())

    def capability(self) -> str:
        """The compute capability of the GPU; "" if there is none, or its driver does not say."""
        gpu = self.described()
        return gpu.capability if gpu else ""

    def described(self) -> Gpu | None:
        """The description of our GPU, whose number in NVML differs from that in CUDA."""
        here = gpus.gpus()
        visible: tuple[str, ...] = ()
        if not self.gpu and len(here) > 1:
            with suppress(BackendUnavailable):  # no library, or no driver
                visible = memory.bus_ids()
        return memory.gpu_at(self.gpu, visible, here)

    def build(self, source: OnnxSource, batch: BatchRange, capability: str = CURRENT) -> Engine:
        """Build the engine of a file for a compute capability, or for the GPU of this machine.

        Raises:
            NotOnnx: the file cannot be read.
            EngineFailed: the parser or the builder refuses it.
            BackendUnavailable: this version has no kernels for its precision.
        """
        self._require_kernels(source, capability)
        with self._selected() if capability == CURRENT and gpus.gpus() else nullcontext():
            engine = build_engine(self._trt(), source, batch, capability, self._timing_cache(), detailed=True)
        return replace(engine, capability=self.capability() or CURRENT) if capability == CURRENT else engine

    def session(self, plan: bytes, name: str, batch: int, precision: str) -> EngineSession:
        """Load an engine.

        Raises:
            EngineFailed: also if it was built by another TensorRT or for another GPU.
            BackendUnavailable: the GPU cannot be used, or its memory is full.
        """
        return EngineSession(self._trt(), plan, name, EngineRun(batch, precision, self.gpu))

    def _why_not_loaded(self) -> str | None:
        if find_spec(self.module) is None:
            hint = self._install_hint()
            return f"{self.module} is not installed. {hint[0].upper()}{hint[1:]}"
        try:
            import_module(self.module)
            self.features()
        except BackendUnavailable as problem:
            return str(problem)
        except (ImportError, OSError, RuntimeError) as problem:
            return f"{self.module} cannot be loaded: {problem}. To install it again, {self._install_hint()}"
        return None

    def _install_hint(self) -> str:
        return install_hint(self.module, self.capability())

    def _why_no_gpu(self) -> str | None:
        gpu = self.described()
        if gpu is None:
            return "there is no NVIDIA GPU with its driver. Use a machine that has both"
        return refusal(self.module, self.version(), gpu.name, gpu.capability) or memory.unavailable_reason(self.gpu)

    def _timing_cache(self) -> Path | None:
        """The timing cache of this GPU model and version; with it, rebuilt engines use the same tactics."""
        if not self.features().timing_cache:
            return None
        self._cache.mkdir(parents=True, exist_ok=True)
        return self._cache / f"tensorrt-{self.version()}-{suffix_of(self.capability() or CURRENT)}.timing"

    def _require_kernels(self, source: OnnxSource, capability: str) -> None:
        """Refuse a precision that this version does not compute, or not on this GPU."""
        built_for = self.capability() if capability == CURRENT else capability
        if not self.features().computes(source.precision, built_for):
            where = f" on compute capability {built_for}" if built_for else ""
            raise BackendUnavailable(
                f"{self.module} {self.version()} has no {source.precision} kernels{where}, so {source.short_name} "
                f"cannot be built. Use --precision fp32"
            )

    @contextmanager
    def _selected(self) -> Iterator[None]:
        """Make our GPU the current one of CUDA, on which a builder times tactics."""
        gpu = memory.open_memory(self.gpu)
        try:
            yield
        finally:
            gpu.close()

    def _trt(self) -> ModuleType:
        return import_module(self.module)
