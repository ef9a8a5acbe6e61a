"""Engines on a remote device: built once for each file and target, and kept in its folder of files.

A cached engine is one file: a line of JSON that describes it, and then its plan.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from exporters.agent.file_cache import ENGINE, ONNX, PLAN, FileCache
from exporters.cuda.engine import CURRENT, BatchRange, Engine
from exporters.cuda.parsing import OnnxSource
from exporters.cuda.session import EngineSession
from exporters.cuda.tensorrt_runtime import TensorrtRuntime
from exporters.errors import EngineFailed


@dataclass(frozen=True)
class EngineSpec:
    """An engine, by what it is built from and for.

    Args:
        module: `tensorrt` or `tensorrt_rtx`.
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA.
        digest: of the cached ONNX file, or of the cached engine if `is_plan`.
        name: of the file on the workstation, in messages.
        precision: that the file computes in.
        batches: the least, the one that the engine is tuned for, the most.
        capability: the compute capability that it is built for.
    """

    module: str
    gpu: str
    digest: str
    name: str
    precision: str
    batches: tuple[int, int, int]
    capability: str = CURRENT
    is_plan: bool = False


@dataclass(frozen=True)
class CachedEngine:
    """An engine in the cache: its plan, what describes it, and whether it was built just now."""

    plan: bytes
    header: dict[str, Any]
    is_new: bool


class EngineCache:
    """The engines that were built on this device."""

    def __init__(self, files: FileCache) -> None:
        self._files = files

    def build(self, spec: EngineSpec, again: bool = False) -> CachedEngine:
        """The engine of a cached ONNX file; built if it is not cached, or if `again`.

        Raises:
            NotOnnx, EngineFailed, BackendUnavailable: see `TensorrtRuntime.build`.
            OSError: the engine cannot be written.
        """
        runtime = self._runtime(spec)
        key = self._key(spec, runtime)
        if not again and self._files.has(key, ENGINE):
            described, _, plan = self._files.path(key, ENGINE).read_bytes().partition(b"\n")
            return CachedEngine(plan, json.loads(described), is_new=False)
        source = OnnxSource(self._files.path(spec.digest, ONNX), spec.name, spec.precision)
        engine = runtime.build(source, BatchRange(*spec.batches), spec.capability)
        header = _header(key, engine)
        self._files.store(key, json.dumps(header).encode() + b"\n" + engine.plan, ENGINE)
        return CachedEngine(engine.plan, header, is_new=True)

    def part(self, key: str, offset: int, size: int) -> bytes:
        """A part of the plan of a cached engine.

        Raises:
            OSError: it is not cached.
        """
        with self._files.path(key, ENGINE).open("rb") as file:
            start = len(file.readline())
            file.seek(start + offset)
            return file.read(size)

    def load(self, spec: EngineSpec, batch: int) -> EngineSession:
        """A session of an engine, ready to run; an engine of the cache that does not load is built again.

        Raises:
            NotOnnx, EngineFailed, BackendUnavailable: see `TensorrtRuntime`.
            OSError: the engine cannot be read or written.
        """
        runtime = self._runtime(spec)
        if spec.is_plan:
            plan = self._files.path(spec.digest, PLAN).read_bytes()
            return runtime.session(plan, spec.name, batch, spec.precision)
        cached = self.build(spec)
        try:
            return runtime.session(cached.plan, spec.name, batch, spec.precision)
        except EngineFailed:
            if cached.is_new:
                raise
            return runtime.session(self.build(spec, again=True).plan, spec.name, batch, spec.precision)

    def _runtime(self, spec: EngineSpec) -> TensorrtRuntime:
        return TensorrtRuntime(spec.module, spec.gpu, self._files.folder)

    def _key(self, spec: EngineSpec, runtime: TensorrtRuntime) -> str:
        """The digest of everything that the engine depends on."""
        made_from = asdict(replace(spec, name="", gpu=""))
        gpu = runtime.described()
        of_gpu = None if gpu is None else (gpu.name, gpu.capability, gpu.driver)
        return hashlib.sha256(json.dumps([made_from, runtime.version(), of_gpu]).encode()).hexdigest()


def _header(key: str, engine: Engine) -> dict[str, Any]:
    return {
        "key": key,
        "n_bytes": len(engine.plan),
        "sha256": engine.sha256,
        "capability": engine.capability,
        "built_by": engine.built_by,
        "convolutions": dict(engine.convolutions),
    }
