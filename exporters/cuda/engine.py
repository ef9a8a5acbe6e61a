"""ONNX file -> engine, through TensorRT 10 or 11, or through TensorRT-RTX, which builds without a GPU.

All three have the same API. Networks are strongly typed: an engine computes only in the types of the ONNX file, so
TF32 is off. TensorRT times tactics on the attached GPU. TensorRT-RTX builds for a given compute capability; the plan
is compiled to machine code later, on the GPU.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from exporters.errors import EngineFailed, NotOnnx
from exporters.files import write_whole

CURRENT = "current"  # the GPU of this machine
# ComputeCapability of TensorRT-RTX 1.7 -> well-known GPUs
CAPABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "7.5": "GeForce RTX 20, T4",
        "8.0": "A100",
        "8.6": "GeForce RTX 30, A10",
        "8.9": "GeForce RTX 40, L4",
        "12.0": "GeForce RTX 50",
        "12.1": "DGX Spark",
    }
)


@dataclass(frozen=True)
class BatchRange:
    """The least and the most images that an engine takes, and the number that it is tuned for; equal if static."""

    least: int
    best: int
    most: int

    @classmethod
    def static(cls, batch: int) -> "BatchRange":
        return cls(batch, batch, batch)

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.best <= self.most:
            raise ValueError(
                f"batches must be 0 < least <= best <= most (given: {self.least}, {self.best}, {self.most})"
            )

    @property
    def is_static(self) -> bool:
        return self.least == self.most


@dataclass(frozen=True)
class Engine:
    """A serialized engine: the plan, its compute capability ("8.6", or "current"), and its builder."""

    plan: bytes
    capability: str
    built_by: str  # "tensorrt_rtx 1.7.1.116"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.plan).hexdigest()

    def save(self, path: Path) -> None:
        """Write the plan atomically. The file holds only the plan, so that any TensorRT program can load it.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(path, self.plan)


def suffix_of(capability: str) -> str:
    """`sm86` for "8.6"."""
    return CURRENT if capability == CURRENT else f"sm{capability.replace('.', '')}"


def parse_capability(text: str) -> str:
    """ "8.6" for `86`, `8.6` and `sm86`.

    Raises:
        EngineFailed: no engine can be built for it; the message lists the known capabilities.
    """
    digits = text.lower().removeprefix("sm").replace(".", "").removesuffix("+")
    known = {capability.replace(".", ""): capability for capability in CAPABILITIES}
    if digits not in known:
        listed = ", ".join(f"{number} ({CAPABILITIES[capability]})" for number, capability in known.items())
        raise EngineFailed(f"TensorRT-RTX builds no engines for the compute capability {text!r}. Use one of {listed}")
    return known[digits]


def build_engine(
    trt: ModuleType,
    onnx: Path,
    batch: BatchRange,
    capability: str = CURRENT,
    timing_cache: Path | None = None,
    detailed: bool = False,
) -> Engine:
    """Build an engine of the file `onnx`. TensorRT-RTX gives the same bytes for the same file.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        capability: "8.6" (TensorRT-RTX only), or "current" for the attached GPU.
        timing_cache: the file of TensorRT's tactic timings, read if it exists, and written. With it a second build is
            faster and chooses the same tactics. TensorRT-RTX times nothing and ignores it.
        detailed: keep the details of each layer for the engine inspector.

    Raises:
        NotOnnx: the file cannot be read.
        EngineFailed: the parser or the builder refuses the file; the message has the node and a remedy.
        OSError: the timing cache cannot be read or written.
    """
    log = logger_of(trt)
    log.clear()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, onnx, log)
    config = builder_config(trt, builder, capability)
    if detailed:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _fix_batch(builder, network, config, batch)
    cache = _begin_cache(config, timing_cache if is_classic(trt) else None)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        refusal = _refusal(trt, onnx, capability, log)
        if not is_classic(trt):
            _forget_refusal(trt, capability)
        raise EngineFailed(refusal)
    if cache is not None and timing_cache is not None:
        write_whole(timing_cache, bytes(cache.serialize()))
    return Engine(bytes(plan), capability, f"{trt.__name__} {trt.__version__}")


def builder_config(trt: ModuleType, builder: Any, capability: str) -> Any:
    """The options of a build for a compute capability.

    Raises:
        EngineFailed: the module cannot build for it.
    """
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default: float32 would be computed with 10 bits of mantissa
    _set_capability(trt, config, capability)
    return config


def is_classic(trt: ModuleType) -> bool:
    """Whether the module is TensorRT, not TensorRT-RTX, which alone takes compute capabilities."""
    return not hasattr(trt, "ComputeCapability")


@cache
def logger_of(trt: ModuleType) -> Any:
    """The logger of a module, which keeps errors until `clear`.

    TensorRT uses the first logger that it receives in the whole process.
    """

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]  # the module is an argument
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(message)

        def clear(self) -> None:
            self.errors.clear()

    return Log()


def _parse(trt: ModuleType, network: Any, onnx: Path, log: Any) -> None:
    if not onnx.exists():
        raise NotOnnx(f"{onnx} is not there. Export it first, or name another file")
    parser = trt.OnnxParser(network, log)
    if parser.parse_from_file(str(onnx)) and network.num_outputs:
        return
    if parser.num_errors:
        error = parser.get_error(0)
        if error.node_operator():
            raise EngineFailed(
                f"{trt.__name__} does not support the node {error.node_name()} ({error.node_operator()}) "
                f"of {onnx.name}: {error.desc()}. "
                f"Replace the operator in the module, or run the file with --backend onnxruntime"
            )
        reason = error.desc()
    else:
        reason = "; ".join(log.errors) or "it has no outputs"
    raise NotOnnx(f"{trt.__name__} cannot read {onnx}: {reason}. Export it again, or name another file")


def _set_capability(trt: ModuleType, config: Any, capability: str) -> None:
    if is_classic(trt):
        if capability == CURRENT:
            return
        raise EngineFailed(
            f"TensorRT builds only for the attached GPU, not for compute capability {capability}. "
            f"Use the backend tensorrt_rtx, or build on a machine with that GPU"
        )
    name = suffix_of(capability).upper()  # without it, TensorRT-RTX builds one large plan for all GPUs
    if name not in trt.ComputeCapability.__members__:
        raise EngineFailed(
            f"{trt.__name__} {trt.__version__} does not build for compute capability {capability}. "
            f"Use one of {', '.join(CAPABILITIES)}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.__members__[name], 0)


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


def _forget_refusal(trt: ModuleType, capability: str) -> None:
    """Build and discard a network of one node, so that a refused build does not change the next engine.

    After a refused build, TensorRT-RTX 1.7.1 puts code for all GPUs into the next plan of the process: 480 MB instead
    of 16. The plan after that is correct.
    """
    builder = trt.Builder(logger_of(trt))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    node = network.add_identity(network.add_input("x", trt.float32, (1,)))
    network.mark_output(node.get_output(0))
    config = builder.create_builder_config()
    _set_capability(trt, config, capability)
    builder.build_serialized_network(network, config)
    logger_of(trt).clear()


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
        "Unsupported SM": "TensorRT 10 and 11 need compute capability 7.5 or later. Use --backend onnxruntime",
        "FP32 GEMM is not supported": "Use --precision fp16, or another GPU",
        "FP8": "Use --precision fp16, or a GPU of compute capability 8.9 or later",
        "INT4": "Use --precision fp16, or a GPU of compute capability 8.9 or later",
        "memory": "Use a smaller batch",
    }
)


def _refusal(trt: ModuleType, onnx: Path, capability: str, log: Any) -> str:
    reason = next(iter(log.errors), "it gave no reason")
    remedy = next((text for words, text in REMEDIES.items() if words in reason), "Use --backend onnxruntime")
    target = "this machine's GPU" if capability == CURRENT else f"compute capability {capability}"
    return f"{trt.__name__} cannot build {onnx.name} for {target}: {reason}. {remedy}"
