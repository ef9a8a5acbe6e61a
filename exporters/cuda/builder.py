"""ONNX file -> engine, through TensorRT 8.6, 10 or 11, or through TensorRT-RTX, which builds without a GPU.

All have the same API; `exporters.cuda.features` lists the differences. An engine computes only in the types of the
ONNX file, so TF32 is off. TensorRT times tactics on the attached GPU. TensorRT-RTX builds for a given compute
capability; the plan is compiled to machine code later, on the GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from exporters.cuda import compute_capability, weak_types
from exporters.cuda.engine import CURRENT, BatchRange, Engine
from exporters.cuda.features import features_of_module
from exporters.cuda.layer_precision import convolution_precisions
from exporters.cuda.parsing import OnnxSource, parse_onnx
from exporters.cuda.trt_logger import logger_of
from exporters.errors import EngineFailed
from exporters.files import write_whole


def build_engine(
    trt: ModuleType,
    source: OnnxSource,
    batch: BatchRange,
    capability: str = CURRENT,
    timing_cache: Path | None = None,
    detailed: bool = False,
) -> Engine:
    """Build an engine of an ONNX file. TensorRT-RTX gives the same bytes for the same file.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        capability: "8.6" (TensorRT-RTX only), or "current" for the attached GPU.
        timing_cache: the file of TensorRT's tactic timings, read if it exists, and written. With it a second build is
            faster and chooses the same tactics. TensorRT-RTX times nothing and ignores it.
        detailed: keep the details of each layer for the engine inspector, and count the precisions of convolutions.

    Raises:
        NotOnnx: the file cannot be read.
        EngineFailed: the parser or the builder refuses the file; the message has the node and a remedy.
        BackendUnavailable: nastool cannot drive this version.
        OSError: the timing cache cannot be read or written.
    """
    features, log = features_of_module(trt), logger_of(trt)
    log.clear()
    builder = trt.Builder(log)
    network = builder.create_network(network_flags(trt))
    parse_onnx(trt, network, source, features)
    config = builder_config(trt, builder, capability)
    if not features.strongly_typed:
        weak_types.request(trt, network, config, source.precision)
    if detailed:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _fix_batch(builder, network, config, batch)
    cache = _begin_cache(config, timing_cache if features.timing_cache else None)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        refusal = _refusal(trt, source, capability, log)
        if features.builds_without_gpu:
            compute_capability.forget_refusal(trt, capability)
        raise EngineFailed(refusal)
    if cache is not None and timing_cache is not None:
        write_whole(timing_cache, bytes(cache.serialize()))
    convolutions = convolution_precisions(log.layers)
    return Engine(bytes(plan), capability, f"{trt.__name__} {trt.__version__}", convolutions)


def network_flags(trt: ModuleType) -> int:
    """The flags of a network whose batch is part of its shapes, and whose types are those of the file."""
    return 1 << int(trt.NetworkDefinitionCreationFlag.__members__[features_of_module(trt).network_flag])


def builder_config(trt: ModuleType, builder: Any, capability: str) -> Any:
    """The options of a build for a compute capability.

    Raises:
        EngineFailed: the module cannot build for it.
    """
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default: float32 would be computed with 10 bits of mantissa
    if features_of_module(trt).builds_without_gpu:
        compute_capability.select(trt, config, capability)
    elif capability != CURRENT:
        raise EngineFailed(
            f"TensorRT builds only for the attached GPU, not for compute capability {capability}. "
            f"Use the backend tensorrt_rtx, or build on a machine with that GPU"
        )
    return config


def _fix_batch(builder: Any, network: Any, config: Any, batch: BatchRange) -> None:
    """Write a static batch into the network, since kernels of a fixed shape are faster; else add a profile."""
    inputs = [network.get_input(number) for number in range(network.num_inputs)]
    if batch.is_static:
        for tensor in inputs:
            tensor.shape = (batch.best, *tuple(tensor.shape)[1:])
        return
    profile = builder.create_optimization_profile()
    for tensor in inputs:
        image = tuple(tensor.shape)[1:]
        profile.set_shape(tensor.name, (batch.least, *image), (batch.best, *image), (batch.most, *image))
    config.add_optimization_profile(profile)


def _begin_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    # the cache of another GPU or TensorRT version is refused; then the build starts with an empty one
    if not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


# Text in a builder's log -> remedy
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "cudaError": "Give a compute capability, as --sm 86, or build on a machine with an NVIDIA GPU and its driver",
        "CUDA initialization failure": "Build on a machine with an NVIDIA GPU and its driver",
        "Unsupported SM": "Use --backend onnxruntime, or the TensorRT that nastool doctor names for this GPU",
        "FP32 GEMM is not supported": "Use --precision fp16, or another GPU",
        "FP8": "Use --precision fp16, or a GPU of compute capability 8.9 or later",
        "INT4": "Use --precision fp16, or a GPU of compute capability 8.9 or later",
        "memory": "Use a smaller batch",
    }
)


def _refusal(trt: ModuleType, source: OnnxSource, capability: str, log: Any) -> str:
    reason = next(iter(log.errors), "it gave no reason")
    remedy = next((text for words, text in REMEDIES.items() if words in reason), "Use --backend onnxruntime")
    target = "this machine's GPU" if capability == CURRENT else f"compute capability {capability}"
    return f"{trt.__name__} cannot build {source.short_name} for {target}: {reason}. {remedy}"
