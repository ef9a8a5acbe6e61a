"""An engine file as it is found: what its header and the manifest beside it say, and what it runs on."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from exporters.cuda.engine import CURRENT
from exporters.cuda.features import CAPABILITIES
from exporters.cuda.plans import FAKE, UNKNOWN, runtime_of
from exporters.devices.attached import Device, attached
from exporters.errors import DeviceMissing, EngineFailed
from exporters.manifest import MANIFEST, sha256
from exporters.remote.address import is_remote, parse_address
from toolchain.errors import BadDocument, BadModel
from toolchain.export.manifest import REMEDY, EngineManifest
from toolchain.files import read_document
from toolchain.measuring.target import ReadyTarget, ready_target
from toolchain.measuring.target_spec import TargetSpec


@dataclass(frozen=True)
class EngineFile:
    """An engine, by what it and the manifest beside it say.

    Args:
        runtime: the backend that built it, and that alone runs it.
        capability: of the GPU that it runs on, as "8.6"; empty where nothing says.
        precision: of the file that it was built from, or `UNKNOWN`.
        batches: the least and the most that it takes, or None.
        graph_hash: of the ONNX file that it was built from, or None.
    """

    path: Path
    runtime: str
    capability: str
    precision: str
    batches: tuple[int, int] | None
    graph_hash: str | None = None


def read_engine(path: Path) -> EngineFile:
    """What is known of an engine without running it.

    Raises:
        EngineFailed: it is missing, damaged, or not the one that the manifest beside it describes.
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
    model = manifest.models[record.built_from]
    built_for = capability if record.capability == CURRENT else record.capability
    batches = (record.batches[0], record.batches[2])
    return EngineFile(path, runtime, built_for, model.compute_precision, batches, model.graph_hash)


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


def spec_of(engine: EngineFile, spec: TargetSpec) -> TargetSpec:
    """The settings that run an engine: its own backend and precision, on the GPU that it was built for.

    An engine of the backend fake runs on the device of `spec`, with the settings of `spec` if that is its backend.

    Raises:
        BadModel: it was not built for the batch of `spec`.
        DeviceMissing: its GPU is not attached, or `spec` names the CPU of a remote device.
    """
    require_engine_batch(engine, spec.batch)
    if engine.runtime == FAKE:
        backend = spec.backend if spec.backend.partition(":")[0] == FAKE else FAKE
        return replace(spec, backend=backend, precision=engine.precision, estimate=False)
    device = _remote_gpu(engine, spec.device) if is_remote(spec.device) else gpu_of(engine).name
    return replace(spec, backend=engine.runtime, device=device, precision=engine.precision, estimate=False)


def target_of(engine: EngineFile, spec: TargetSpec, ready: ReadyTarget | None = None) -> ReadyTarget:
    """The target that an engine is timed on.

    Args:
        ready: a resolved target, which is used if it has the backend and the device of the engine.

    Raises:
        BadModel, DeviceMissing: see `spec_of`.
        BackendUnavailable, UnknownDevice: the runtime cannot run here.
    """
    own = spec_of(engine, spec)
    if (
        ready is not None
        and ready.device is not None
        and ready.target.backend == engine.runtime
        and (engine.runtime == FAKE or ready.device.capability == engine.capability)
    ):
        return ready.for_precision(own.precision)
    resolved = ready_target(replace(own, precision="fp32"))
    device = resolved.device
    if engine.runtime != FAKE and device is not None and engine.capability not in ("", device.capability):
        raise _missing(engine, f"{device.name} ({device.model}, {device.capability})")
    return resolved.for_precision(own.precision)


def gpu_of(engine: EngineFile) -> Device:
    """The GPU of this machine that an engine was built for.

    Raises:
        DeviceMissing: there is none; the message says which it takes, and what is here.
    """
    here = attached()
    for device in here:
        if device.kind == "gpu" and engine.capability in ("", device.capability):
            return device
    listed = ", ".join(f"{d.name} ({d.model}{f', {d.capability}' if d.capability else ''})" for d in here)
    raise _missing(engine, listed)


def _remote_gpu(engine: EngineFile, address: str) -> str:
    """The address of a remote device, if it names a GPU.

    Raises:
        DeviceMissing: it names a CPU.
    """
    if parse_address(address).on_machine == "cpu":
        raise _missing(engine, f"{address} (its CPU; {parse_address(address).machine}#gpu is its GPU)")
    return address


def _missing(engine: EngineFile, listed: str) -> DeviceMissing:
    """An engine cannot run on the devices that are listed."""
    known = f" ({CAPABILITIES[engine.capability]})" if engine.capability in CAPABILITIES else ""
    needed = f"an NVIDIA GPU of compute capability {engine.capability}{known}" if engine.capability else "an NVIDIA GPU"
    return DeviceMissing(
        f"{engine.path} was built by {engine.runtime} for {needed}, and runs on no other device. Here: {listed}. "
        f"Run the command on a machine with such a GPU, or name the ONNX file that it was built from"
    )
