"""The modules that are sent to remote devices, as source: those of every device, and those for GPUs."""

import json
import zlib
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("exporters", "exporters.agent")
MODULES = (
    "exporters.timing",
    "exporters.errors",
    "exporters.files",
    "exporters.agent.frames",
    "exporters.agent.clocks",
    "exporters.agent.throttling",
    "exporters.agent.machine",
    "exporters.agent.memory",
    "exporters.agent.file_cache",
    "exporters.agent.lock_file",
    "exporters.agent.simulated",
    "exporters.agent.arrays",
    "exporters.agent.session",
    "exporters.agent.compiled",
    "exporters.agent.requests",
    "exporters.agent.main",
)
GPU_PACKAGES = ("exporters.cuda",)
GPU_MODULES = (
    "pynvml",  # a device needs no installed one; it is one file, which runs on every Python
    "exporters.cuda.gpu",
    "exporters.cuda.device_memory",
    "exporters.cuda.cuda_python",
    "exporters.cuda.pycuda_memory",
    "exporters.cuda.nvml",
    "exporters.cuda.memory",
    "exporters.cuda.jetson",
    "exporters.cuda.gpus",
    "exporters.cuda.timing",
    "exporters.cuda.provider_library",
    "exporters.cuda.onnxruntime_gpu",
    "exporters.cuda.engine",
    "exporters.cuda.features",
    "exporters.cuda.layer_precision",
    "exporters.cuda.trt_logger",
    "exporters.cuda.compute_capability",
    "exporters.cuda.weak_types",
    "exporters.cuda.parsing",
    "exporters.cuda.builder",
    "exporters.cuda.session",
    "exporters.cuda.tensorrt_runtime",
    "exporters.cuda.engine_cache",
)


def bootstrap() -> bytes:
    """The program that starts the agent, compressed."""
    sources = {**dict.fromkeys(PACKAGES, ""), **{name: _source(name) for name in MODULES}}
    return zlib.compress(f"{_source('exporters.agent.loader')}\nstart({sources!r})\n".encode())


def gpu_modules() -> bytes:
    """The modules for GPUs, as the request `modules` takes them."""
    sources = {**dict.fromkeys(GPU_PACKAGES, ""), **{name: _source(name) for name in GPU_MODULES}}
    return zlib.compress(json.dumps(sources).encode())


def _source(module: str) -> str:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")
