"""TensorRT engines of exported files: for named compute capabilities without a GPU, or for the GPU that is here.

They are built on export, and read again where they are timed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend
from exporters.cuda.engine import CAPABILITIES, CURRENT, Engine, parse_capability, suffix_of
from exporters.cuda.plans import SUFFIX, runtime_of
from exporters.devices.attached import Device, attached
from exporters.errors import BackendUnavailable, DeviceMissing, EngineFailed
from exporters.manifest import MANIFEST, sha256
from toolchain.errors import BadDocument, BadModel
from toolchain.export.manifest import REMEDY, EngineManifest, EngineRecord
from toolchain.export.precisions import ExportedFile
from toolchain.files import read_document

ANY_GPU, THIS_GPU = "tensorrt_rtx", "tensorrt"
UNKNOWN = "unknown"  # the precision of an engine that no manifest describes: each layer has its own


@dataclass(frozen=True)
class EngineTarget:
    """What engines are built for, "8.6" or "current", and the module that builds them."""

    capability: str
    builder: Backend


def engine_targets(capabilities: Sequence[str], this_gpu: bool) -> tuple[EngineTarget, ...]:
    """The targets of the engines to build; all of them can be built on this machine.

    Args:
        capabilities: as `86` or `8.6`; TensorRT-RTX builds for them without such a GPU.
        this_gpu: also build for the GPU of this machine, with TensorRT.

    Raises:
        EngineFailed: there is no such compute capability.
        BackendUnavailable: TensorRT, or the GPU, is not here.
    """
    targets = [EngineTarget(parse_capability(text), Backend(ANY_GPU)) for text in dict.fromkeys(capabilities)]
    if this_gpu:
        targets.append(EngineTarget(CURRENT, Backend(THIS_GPU)))
    for target in targets:
        if reason := target.builder.build_unavailable_reason():
            remedy = ". Or name a GPU, as --sm 86" if target.capability == CURRENT else ""
            raise BackendUnavailable(f"no engine can be built here: {reason}{remedy}")
    return tuple(targets)


def build_engines(
    models: Sequence[ExportedFile], targets: Sequence[EngineTarget], batches: tuple[int, int, int], folder: Path
) -> dict[Path, EngineRecord]:
    """Build an engine of each file for each target.

    Args:
        batches: the least, the one that it is tuned for, the most; all equal for a static batch.

    Raises:
        EngineFailed: a builder refuses a file.
        OSError: an engine cannot be written.
    """
    records: dict[Path, EngineRecord] = {}
    for exported in models:
        spec = CompileSpec(batches[1], precision=exported.model.precision, batches=batches)
        for target in targets:
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
    )


@dataclass(frozen=True)
class EngineFile:
    """An engine, by what it and the manifest beside it say.

    Args:
        runtime: the backend that built it, and that alone runs it.
        capability: of the GPU that it runs on, as "8.6"; empty where nothing says.
        precision: of the file that it was built from, or `UNKNOWN`.
        batches: the least and the most that it takes, or None.
    """

    path: Path
    runtime: str
    capability: str
    precision: str
    batches: tuple[int, int] | None


def read_engine(path: Path) -> EngineFile:
    """What is known of an engine without running it.

    Raises:
        EngineFailed: it is not there, damaged, or not the one that the manifest beside it describes.
    """
    runtime = runtime_of(path)
    named = re.search(r"\.sm(\d+)(\d)$", path.stem)
    capability = ".".join(named.groups()) if named else ""
    manifest = _manifest_beside(path)
    record = manifest.engines.get(path.name) if manifest else None
    if manifest is None or record is None or record.built_from not in manifest.models:
        return EngineFile(path, runtime, capability, UNKNOWN, None)
    if path.name not in manifest.files or sha256(path) != manifest.files[path.name].sha256:
        raise EngineFailed(
            f"{path} is damaged, or is not the engine that {MANIFEST} beside it describes: the digests differ. "
            f"Run nastool export again"
        )
    precision = manifest.models[record.built_from].compute_precision
    built_for = capability if record.capability == CURRENT else record.capability
    return EngineFile(path, runtime, built_for, precision, (record.batches[0], record.batches[2]))


def _manifest_beside(path: Path) -> EngineManifest | None:
    """The manifest in the folder of `path`; None if there is none, or another program wrote it."""
    try:
        return read_document(path.parent / MANIFEST, EngineManifest, REMEDY)
    except BadDocument:
        return None


def require_engine_batch(engine: EngineFile, batch: int) -> None:
    """An engine takes the batches that it was built for, and no others.

    Raises:
        BadModel: `batch` is none of them.
    """
    if engine.batches and not engine.batches[0] <= batch <= engine.batches[1]:
        least, most = engine.batches
        raise BadModel(
            f"{engine.path} takes batches of {least if least == most else f'{least} to {most}'}, and latencies for a "
            f"batch of {batch} were asked for. Give --batch {most}, or build it for others"
        )


def gpu_of(engine: EngineFile) -> Device:
    """The GPU of this machine that an engine was built for.

    Raises:
        DeviceMissing: there is none; the message says which it takes, and what is here.
    """
    here = attached()
    for device in here:
        if device.kind == "gpu" and engine.capability in ("", device.capability):
            return device
    known = f" ({CAPABILITIES[engine.capability]})" if engine.capability in CAPABILITIES else ""
    needed = f"an NVIDIA GPU of compute capability {engine.capability}{known}" if engine.capability else "an NVIDIA GPU"
    listed = ", ".join(f"{d.name} ({d.model}{f', {d.capability}' if d.capability else ''})" for d in here)
    raise DeviceMissing(
        f"{engine.path} was built by {engine.runtime} for {needed}, and runs on no other device. Here: {listed}. "
        f"Run the command on a machine with such a GPU, or name the ONNX file that it was built from"
    )
