"""Engines on their own device: compared with torch, and timed in the same rounds as their ONNX files."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from exporters.cuda.engine import CURRENT
from exporters.cuda.plans import runtime_of
from exporters.errors import BackendUnavailable, DeviceMissing, OtherPrecision
from exporters.graph.model import Model
from exporters.graph.parity import Parity, compare, require, require_accuracy
from latency_db.table import Summary
from toolchain.export.engine_file import EngineFile, target_of
from toolchain.export.latency import Timer, within_limit
from toolchain.export.manifest import EngineRecord
from toolchain.export.precisions import ExportedFile
from toolchain.export.verification import Reference, filled, holdout_accuracy, parity_record
from toolchain.measuring.rounds import summaries_of, time_rounds
from toolchain.measuring.target import ReadyTarget
from toolchain.measuring.timed_file import TimedFile
from toolchain.search.winner import SelectedArchitecture

ENGINE, ONNX = "engine", "onnx"


@dataclass(frozen=True)
class _BuiltEngine:
    """An engine with the file that it was built from, and the target that it runs on."""

    path: Path
    record: EngineRecord
    exported: ExportedFile
    target: ReadyTarget


def verify_engines(
    records: Mapping[Path, EngineRecord],
    models: Sequence[ExportedFile],
    reference: Reference,
    chosen: SelectedArchitecture,
    timer: Timer,
) -> dict[Path, EngineRecord]:
    """Run each engine whose device is here, and complete its record; the others say why they were not run.

    Raises:
        ParityFailed: an engine and torch differ more than its precision explains.
        CheckFailed: the latency limit was set for this engine's target, and the engine of the first file is over it.
        EngineFailed: an engine cannot be loaded.
    """
    by_name = {exported.file.name: exported for exported in models}
    verified: dict[Path, EngineRecord] = {}
    for path, record in records.items():
        exported = by_name[record.built_from]
        capability = "" if record.capability == CURRENT else record.capability
        engine = EngineFile(path, runtime_of(path), capability, exported.model.precision, None)
        try:
            target = target_of(engine, timer.target.spec, timer.target)
        except (DeviceMissing, BackendUnavailable) as problem:
            verified[path] = record.model_copy(update={"not_verified": _reason(engine, problem)})
            continue
        limit_of = chosen if exported is models[0] and target.target.id == chosen.target else None
        verified[path] = _verify(_BuiltEngine(path, record, exported, target), reference, limit_of, timer)
    return verified


def _reason(engine: EngineFile, problem: DeviceMissing | BackendUnavailable) -> str:
    if isinstance(problem, BackendUnavailable):
        return str(problem)
    return f"no GPU of compute capability {engine.capability}" if engine.capability else "no NVIDIA GPU"


def _verify(
    engine: _BuiltEngine, reference: Reference, chosen: SelectedArchitecture | None, timer: Timer
) -> EngineRecord:
    """The completed record of an engine.

    Args:
        chosen: has the latency limit that the engine must meet, or None.
    """
    parity, accuracy = _compare(engine, reference)
    first, onnx = _time(engine, timer)

    def measured(attempt: int) -> Summary:
        return timer.measure_again(engine.path, engine.target, attempt) if attempt else first

    latency_ms = first.latency_ms if chosen is None else within_limit(measured, chosen, timer.progress)
    update = {
        "parity": parity_record(parity),
        "holdout_accuracy": accuracy,
        "measured_latency_ms": latency_ms,
        "onnx_latency_ms": None if onnx is None else onnx.latency_ms,
        "not_verified": "",
    }
    return engine.record.model_copy(update=update)


def _compare(engine: _BuiltEngine, reference: Reference) -> tuple[Parity, float]:
    """The parity of an engine with torch at each of its batches, and its accuracy on the hold-out."""
    backend, spec, best = engine.target.backend, engine.target.compile_spec, engine.record.batches[1]
    sizes = tuple(dict.fromkeys(engine.record.batches))
    tolerance, name = engine.exported.tolerance, engine.path.name
    with ExitStack() as stack:
        compiled = {}
        for size in sizes:
            compiled[size] = backend.compile(engine.path, replace(spec, batch=size))
            stack.callback(compiled[size].close)
        parity = compare(reference.net, compiled, filled(reference.images, best), sizes)
        require(parity, tolerance, name)
        accuracy = holdout_accuracy(compiled[best], reference.data, best)
    holdout = len(reference.data.holdout)
    require_accuracy(reference.holdout_accuracy, accuracy, tolerance, holdout, parity.top1_agreement, name)
    return parity, accuracy


def _time(engine: _BuiltEngine, timer: Timer) -> tuple[Summary, Summary | None]:
    """The latency of an engine, and of its ONNX file in the same rounds; None if that is not timed here."""
    files = {ENGINE: TimedFile(Model(engine.path), engine.target)}
    if not timer.target.target.estimate:
        try:
            files[ONNX] = TimedFile(engine.exported.model, timer.target.for_precision(engine.exported.model.precision))
        except OtherPrecision as problem:
            timer.progress.say(f"{engine.exported.file.name} is not timed beside its engine: {problem.reason}")
    title = f"measure {engine.path.name}"
    summaries = summaries_of(files, dict(time_rounds(files, timer.plan, timer.db, timer.progress, title)))
    return summaries[ENGINE], summaries.get(ONNX)
