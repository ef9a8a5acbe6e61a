"""The files of a check, ONNX files and engines, each with the target that it is timed on."""

from dataclasses import dataclass, replace
from pathlib import Path

from exporters.cuda.plans import SUFFIX as ENGINE
from exporters.graph.model import Model
from latency_db.errors import TargetMismatch
from toolchain.export.engine_file import read_engine, target_of
from toolchain.measuring.model_inputs import require_batch
from toolchain.measuring.target import ReadyTarget, for_own_precision, ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.measuring.timed_file import TimedFile


@dataclass(frozen=True)
class Candidate:
    """The file that is checked.

    Args:
        graph_hash: of an engine that of the ONNX file that it was built from; None if no manifest names it.
    """

    path: Path
    graph_hash: str | None
    timed: TimedFile

    @property
    def target(self) -> ReadyTarget:
        return self.timed.target


def candidate_file(path: Path, spec: TargetSpec, ready: ReadyTarget | None = None) -> Candidate:
    """The file to check, on the target for its own precision; an engine on its own runtime and GPU.

    Args:
        ready: the target of `spec` if it is resolved already.

    Raises:
        MissingStage, NotOnnx, BadModel, EngineFailed: it is missing, damaged, or cannot be timed at the batch.
        BackendUnavailable, DeviceMissing, UnknownDevice: its device or runtime is not here.
    """
    model = Model(path)
    if path.suffix == ENGINE:
        engine = read_engine(path)
        return Candidate(path, engine.graph_hash, TimedFile(model, target_of(engine, spec, ready)))
    require_batch(model, spec.batch)
    target = ready or ready_target(replace(spec, precision="fp32"))
    instead = "Check the fp32 file here, and this one on a GPU (--device gpu0)"
    timed = TimedFile(model, for_own_precision(target, model.precision, path, instead))
    return Candidate(path, model.graph_hash, timed)


def build_file(build: Model, candidate: ReadyTarget) -> TimedFile:
    """Another build, timed on the device of the candidate: an engine by its own runtime, else by the candidate's.

    Raises:
        TargetMismatch: it is an engine for another device.
        NotOnnx, BadModel, EngineFailed, BackendUnavailable, DeviceMissing: see `candidate_file`.
    """
    if build.path.suffix != ENGINE:
        require_batch(build, candidate.spec.batch)
        instead = "Compare with an fp32 file, or on a GPU (--device gpu0)"
        return TimedFile(build, for_own_precision(candidate, build.precision, build.path, instead))
    target = target_of(read_engine(build.path), candidate.spec, candidate)
    here, there = candidate.device, target.device
    if here is not None and there is not None and here.uid != there.uid:
        raise TargetMismatch(
            f"the baseline {build.path} runs on {there.name} ({there.model}), and the checked file on {here.name} "
            f"({here.model}). Give --device {there.name}, or a baseline for this device"
        )
    return TimedFile(build, target)
