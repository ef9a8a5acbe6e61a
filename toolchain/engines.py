"""TensorRT engines of exported files: for named compute capabilities without a GPU, or for the GPU that is here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend
from exporters.engine import CURRENT, Engine, parse_capability, suffix_of
from exporters.errors import BackendUnavailable
from exporters.precision import precision_of
from toolchain.precisions import Model

ANY_GPU, THIS_GPU = "tensorrt_rtx", "tensorrt"


@dataclass(frozen=True)
class Target:
    """What engines are built for, "8.6" or "current", and the module that builds them."""

    capability: str
    builder: Backend


def targets_of(capabilities: Sequence[str], this_gpu: bool) -> tuple[Target, ...]:
    """The targets that were asked for, all of them such that engines can be built here.

    Args:
        capabilities: as `86` or `8.6`; TensorRT-RTX builds for those, whatever GPU is here.
        this_gpu: also for the GPU of this machine, through TensorRT.

    Raises:
        EngineFailed: there is no such compute capability.
        BackendUnavailable: TensorRT, or the GPU, is not here.
    """
    found = [Target(parse_capability(text), Backend(ANY_GPU)) for text in dict.fromkeys(capabilities)]
    if this_gpu:
        found.append(Target(CURRENT, Backend(THIS_GPU)))
    for target in found:
        if reason := target.builder.why_no_build():
            remedy = ". Or name a GPU, as --sm 86" if target.capability == CURRENT else ""
            raise BackendUnavailable(f"no engine can be built here: {reason}{remedy}")
    return tuple(found)


def build_engines(
    models: Sequence[Model], targets: Sequence[Target], batches: tuple[int, int, int], folder: Path
) -> dict[Path, Mapping[str, object]]:
    """An engine of each file for each target, and what is to be said of it.

    Args:
        batches: the least, the one that it is tuned for, the most; all equal for a static batch.

    Raises:
        EngineFailed: a builder refuses a file.
        OSError: an engine can't be written.
    """
    found: dict[Path, Mapping[str, object]] = {}
    for model in models:
        spec = CompileSpec(batches[1], precision=precision_of(model.file), batches=batches)
        for target in targets:
            engine = target.builder.build(model.file, spec, target.capability)
            path = folder / f"{model.file.stem}.{suffix_of(engine.capability)}.engine"
            engine.save(path)
            found[path] = _described(model, engine, batches)
    return found


def _described(model: Model, engine: Engine, batches: tuple[int, int, int]) -> Mapping[str, object]:
    return {
        "precision": model.precision,
        "built_from": model.file.name,
        "capability": engine.capability,
        "built_by": engine.built_by,
        "batches": list(batches),
        "measured_latency_ms": None,  # an engine runs on its GPU; nastool bench FILE measures it there
    }
