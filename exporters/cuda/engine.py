"""ONNX file -> engine, through TensorRT 10 or 11, or through TensorRT-RTX, which builds without a GPU.

All three have one API. Networks are strongly typed: an engine computes in the types that are written in the ONNX
file, and in no others, so TF32 is off. A builder of TensorRT times tactics on the GPU that is there; TensorRT-RTX
builds for a compute capability that is named, and the last step, from its plan to machine code, is done on the GPU.
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
# ComputeCapability of TensorRT-RTX 1.7 -> GPUs that people know it by
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
    """The batches that an engine takes, and the one that it is tuned for; all equal: a static batch."""

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
    """What a builder made: the plan, for which compute capability ("8.6", or "current"), and by what."""

    plan: bytes
    capability: str
    built_by: str  # "tensorrt_rtx 1.7.1.116"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.plan).hexdigest()

    @property
    def file_name(self) -> str:
        """`model.sm86.engine`; the file is the plan and nothing else, so that any TensorRT program can load it."""
        return f"model.{suffix_of(self.capability)}.engine"

    def save(self, path: Path) -> None:
        """Write the plan, whole or not at all.

        Raises:
            OSError: it can't be written.
        """
        write_whole(path, self.plan)


def suffix_of(capability: str) -> str:
    """`sm86` for "8.6"."""
    return CURRENT if capability == CURRENT else f"sm{capability.replace('.', '')}"


def parse_capability(text: str) -> str:
    """ "8.6" for `86`, `8.6` and `sm86`.

    Raises:
        EngineFailed: no engine can be built for that; the message lists what can be.
    """
    digits = text.lower().removeprefix("sm").replace(".", "").removesuffix("+")
    known = {capability.replace(".", ""): capability for capability in CAPABILITIES}
    if digits not in known:
        listed = ", ".join(f"{number} ({CAPABILITIES[capability]})" for number, capability in known.items())
        raise EngineFailed(f"TensorRT-RTX builds no engines for the compute capability {text!r}. Take one of {listed}")
    return known[digits]


def build_engine(
    trt: ModuleType,
    onnx: Path,
    batch: BatchRange,
    capability: str = CURRENT,
    timing_cache: Path | None = None,
    detailed: bool = False,
) -> Engine:
    """Build `onnx` for a compute capability. The same file gives the same bytes again with TensorRT-RTX.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        capability: as "8.6", which only TensorRT-RTX can; or "current", for the GPU that is here.
        timing_cache: what TensorRT measured of tactics; read if it is there, and written. With it a second build is
            quicker and takes the same tactics. TensorRT-RTX measures nothing, so it keeps none.
        detailed: keep what the engine inspector tells, layer by layer.

    Raises:
        NotOnnx: the file can't be read.
        EngineFailed: the parser or the builder refuses it; the message has the node and a remedy.
        OSError: the timing cache can't be read or written.
    """
    log = logger_of(trt)
    log.clear()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, onnx, log)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default: float32 would be computed with 10 bits of mantissa
    if detailed:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _aim(trt, config, capability)
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


def is_classic(trt: ModuleType) -> bool:
    """Whether it is TensorRT itself, and not TensorRT-RTX, which names compute capabilities."""
    return not hasattr(trt, "ComputeCapability")


@cache
def logger_of(trt: ModuleType) -> Any:
    """The module's one logger: TensorRT takes the first that it is given for the whole process.

    It keeps warnings and errors until `clear`.
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
                f"{trt.__name__} can't take the node {error.node_name()} ({error.node_operator()}) of {onnx.name}: "
                f"{error.desc()}. Replace the operator in the module, or run the file with --backend onnxruntime"
            )
        reason = error.desc()
    else:
        reason = "; ".join(log.errors) or "it has no outputs"
    raise NotOnnx(f"{trt.__name__} can't read {onnx}: {reason}. Export it again, or name another file")


def _aim(trt: ModuleType, config: Any, capability: str) -> None:
    if is_classic(trt):
        if capability == CURRENT:
            return
        raise EngineFailed(
            f"TensorRT builds for the GPU that it runs on, and not for a named compute capability ({capability}). "
            f"Take the backend tensorrt_rtx, or build on a machine with that GPU"
        )
    name = suffix_of(capability).upper()  # without one, TensorRT-RTX builds for all of them into one large plan
    if name not in trt.ComputeCapability.__members__:
        raise EngineFailed(
            f"{trt.__name__} {trt.__version__} builds nothing for the compute capability {capability}. "
            f"Take one of {', '.join(CAPABILITIES)}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.__members__[name], 0)


def _fix_batch(builder: Any, network: Any, config: Any, batch: BatchRange) -> None:
    """A static batch is written into the network, since kernels of a known shape are quicker."""
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
    """Build a network of one node, and throw it away.

    TensorRT-RTX 1.7.1 keeps something of a refused build for the next one in the process, whatever that is: a plan
    with code for all GPUs, 480 MB in place of 16. The one after that is as it should be.
    """
    builder = trt.Builder(logger_of(trt))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    node = network.add_identity(network.add_input("x", trt.float32, (1,)))
    network.mark_output(node.get_output(0))
    config = builder.create_builder_config()
    _aim(trt, config, capability)
    builder.build_serialized_network(network, config)
    logger_of(trt).clear()


def _begin_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    # a cache of another GPU or TensorRT is refused, and then the build starts with an empty one
    if not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


# What a builder's log says -> what to do about it
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "cudaError": "Name a compute capability, as --sm 86, or build on a machine with an NVIDIA GPU and its driver",
        "CUDA initialization failure": "Build on a machine with an NVIDIA GPU and its driver",
        "Unsupported SM": "TensorRT 10 and 11 take compute capability 7.5 and later. Take --backend onnxruntime",
        "FP32 GEMM is not supported": "Take --precision fp16, or another GPU",
        "FP8": "Take --precision fp16, or a GPU of compute capability 8.9 or later",
        "INT4": "Take --precision fp16, or a GPU of compute capability 8.9 or later",
        "memory": "Take a smaller batch",
    }
)


def _refusal(trt: ModuleType, onnx: Path, capability: str, log: Any) -> str:
    reason = next(iter(log.errors), "it gave no reason")
    remedy = next((text for words, text in REMEDIES.items() if words in reason), "Take --backend onnxruntime")
    target = "this machine's GPU" if capability == CURRENT else f"compute capability {capability}"
    return f"{trt.__name__} can't build {onnx.name} for {target}: {reason}. {remedy}"
