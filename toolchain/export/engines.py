"""Building TensorRT engines of exported files: for named compute capabilities without a GPU, or for this device."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.backends import BuildsEngines, CompileSpec
from exporters.backends.tensorrt import Backend
from exporters.cuda.engine import CURRENT, Engine
from exporters.cuda.features import parse_capability, suffix_of
from exporters.cuda.plans import SUFFIX
from exporters.errors import BackendUnavailable
from toolchain.config.values import MAX_BATCH
from toolchain.errors import BadConfig
from toolchain.export.manifest import EngineRecord
from toolchain.export.precisions import ExportedFile, is_built_by
from toolchain.measuring.backend_choice import named_backend
from toolchain.measuring.target import ReadyTarget

ANY_GPU, THIS_GPU = "tensorrt_rtx", "tensorrt"


@dataclass(frozen=True)
class EngineTarget:
    """What engines are built for, "8.6" or "current", and the module that builds them."""

    capability: str
    builder: BuildsEngines


def engine_targets(
    capabilities: Sequence[str], this_device: bool, ready: ReadyTarget | None = None
) -> tuple[EngineTarget, ...]:
    """The targets of the engines to build; all of them can be built on this machine.

    Args:
        capabilities: as `86` or `8.6`; TensorRT-RTX builds for them without such a GPU.
        this_device: also build for the device of this machine.
        ready: the target that files are measured on. Its backend builds, if it can; else TensorRT for its GPU.

    Raises:
        EngineFailed: there is no such compute capability.
        BackendUnavailable: TensorRT, or the GPU, is not here.
    """
    targets = [EngineTarget(parse_capability(text), Backend(ANY_GPU)) for text in dict.fromkeys(capabilities)]
    if this_device:
        targets.append(EngineTarget(CURRENT, _builder(ready)))
    for target in targets:
        if reason := target.builder.build_unavailable_reason():
            remedy = _remedy(capabilities) if target.capability == CURRENT else ""
            raise BackendUnavailable(f"no engine can be built {_where(target, ready)}: {reason}{remedy}")
    return tuple(targets)


def _remedy(capabilities: Sequence[str]) -> str:
    """What else to do where no engine can be built for the device."""
    if capabilities:
        return f". Or leave out --engine: --sm {','.join(capabilities)} needs no GPU"
    return ". Or name a GPU, as --sm 86"


def _where(target: EngineTarget, ready: ReadyTarget | None) -> str:
    """The machine that builds: that of a remote device for its own GPU, and this one for named GPUs."""
    if target.capability == CURRENT and ready and ready.device and ready.device.remote:
        return f"on {ready.device.name}"
    return "here"


def _builder(ready: ReadyTarget | None) -> BuildsEngines:
    if ready is None:
        return Backend(THIS_GPU)
    if isinstance(ready.backend, BuildsEngines):
        return ready.backend
    if ready.device is not None and ready.device.remote is not None:
        backend = named_backend(THIS_GPU, ready.device)
        assert isinstance(backend, BuildsEngines)
        return backend
    return Backend(THIS_GPU, ready.device.pci_bus_id if ready.device else "")


def engine_batches(text: str | None, tuned: int) -> tuple[int, int, int]:
    """The least batch of engines, the one that they are tuned for, and the most.

    Args:
        text: a range as `1..32`; None for exactly the tuned one, which is what was timed.
        tuned: the batch of the budget.

    Raises:
        BadConfig: it is not a range, or does not include the tuned one.
    """
    if text is None:
        return tuned, tuned, tuned
    least, dots, most = text.partition("..")
    if not (dots and least.isdecimal() and most.isdecimal() and 0 < int(least) <= int(most) <= MAX_BATCH):
        raise BadConfig(f"--batches {text!r} is not a range. Write the least and the most images of a batch, as 1..32")
    if not int(least) <= tuned <= int(most):
        raise BadConfig(
            f"--batches {text} does not include {tuned}, the batch that engines are tuned for and timed at. Give "
            f"another range, or another --batch"
        )
    return int(least), tuned, int(most)


def build_engines(
    models: Sequence[ExportedFile], targets: Sequence[EngineTarget], batches: tuple[int, int, int], folder: Path
) -> dict[Path, EngineRecord]:
    """Build an engine of each file for each target; of int8, that of the form of the builder.

    Args:
        batches: the least, the one that it is tuned for, the most; all equal for a static batch.

    Raises:
        EngineFailed: a builder refuses a file.
        OSError: an engine cannot be written.
    """
    records: dict[Path, EngineRecord] = {}
    for exported in models:
        spec = CompileSpec(batches[1], precision=exported.model.precision, batches=batches)
        for target in (target for target in targets if is_built_by(exported, target.builder.name)):
            engine = target.builder.build(exported.model, spec, target.capability)
            path = folder / f"{exported.file.stem}.{suffix_of(engine.capability)}{SUFFIX}"
            engine.save(path)
            records[path] = _record(exported, engine, batches)
    return records


def _record(exported: ExportedFile, engine: Engine, batches: tuple[int, int, int]) -> EngineRecord:
    return EngineRecord(
        precision=exported.precision,
        built_from=exported.file.name,
        capability=engine.capability,
        built_by=engine.built_by,
        batches=batches,
        convolutions=dict(engine.convolutions),
    )
