"""`nastool export`: the retrained winner as files that are verified against torch and measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters import backends
from toolchain.errors import BadDocument
from toolchain.export.bundle import preprocessing_of, write_companions
from toolchain.export.engine_verification import verify_engines
from toolchain.export.engines import EngineTarget, build_engines, engine_batches, engine_targets
from toolchain.export.latency import Timer, measure_models, require_search_target
from toolchain.export.manifest import (
    REMEDY,
    Costs,
    ExportedNetwork,
    Manifest,
    ModelInfo,
    ModelRecord,
    file_records,
    read_file_names,
)
from toolchain.export.precisions import LOW_BIT, ExportedFile, precisions_of, with_forms, write_models
from toolchain.export.verification import (
    ExportVerification,
    Pictures,
    Reference,
    holdout_images,
    parity_record,
    verify_export,
    verify_folding,
)
from toolchain.files import read_document, unwritable, write_document
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.space_precision import for_space
from toolchain.measuring.target import ReadyTarget
from toolchain.nets.network import Network
from toolchain.progress import Progress
from toolchain.runs import Run, environment
from toolchain.search.budget import load_costs
from toolchain.search.winner import SelectedArchitecture
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy_interval import wilson
from toolchain.training.data import Data
from toolchain.training.job import Job
from toolchain.training.retrained import Retrained, load_retrained, read_retrained


@dataclass(frozen=True)
class _Source:
    """What is exported: the network with its results, and the architecture as it was selected."""

    chosen: SelectedArchitecture
    net: Network
    retrained: Retrained
    info: ModelInfo
    data: Data
    profile_runs: tuple[str, ...]


@dataclass(frozen=True)
class _Request:
    """The files to write.

    Args:
        batches: of engines: the least, the tuned and the largest.
        batch: of ONNX files; None for files that take any batch.
    """

    precisions: tuple[str, ...]
    engines: tuple[EngineTarget, ...]
    batches: tuple[int, int, int]
    batch: int | None


def export(job: Job, chosen: SelectedArchitecture, target: ReadyTarget | None = None) -> Manifest:
    """Write the export of a run: the network in each requested precision, verified and within its budget.

    Args:
        target: what files are measured on if it is resolved already; default: that of the configuration.

    Returns:
        The content of manifest.json.

    Raises:
        MissingStage, BadCheckpoint, BadDocument: nothing was retrained, or for another space.
        BadConfig: the network has no such precision.
        EngineFailed, BackendUnavailable: an engine cannot be built here.
        TargetMismatch: the winner's latency limit is for another target.
        ParityFailed: a file and torch differ on real images; nothing is written.
        CheckFailed: the file, or its engine, measures over the winner's budget; nothing is written.
    """
    config, space, data, run, arch = job.config, job.space, job.data, job.run, chosen.architecture
    has_latency = "latency_ms" in chosen.limits
    precisions = precisions_of(space, arch, config.profile.precision, config.export.precision, has_latency)
    exact = precisions[0] == LOW_BIT[0]  # not what a latency of the space is for
    ready = target or require_target(config.profile if exact else for_space(config.profile, space))
    engines = engine_targets(config.export.sm, config.export.engine, ready)
    request = _Request(
        with_forms(precisions, ready.target.backend, [engine.builder.name for engine in engines]),
        engines,
        engine_batches(config.export.batches, config.profile.batch),
        config.profile.batch if config.export.static else None,
    )
    net = load_retrained(space, arch, data, run)
    run.require(run.retrain(arch) / "result.json", "retrain")
    retrained = read_retrained(run.retrain(arch) / "result.json")
    timer = Timer(ready, measurement_plan(config), config.profile.db, job.progress)
    chosen = chosen.on_target(timer.target.target.id)
    require_search_target(chosen, timer.target.target, timer.db)
    costs = load_costs(space, timer.target.target, timer.db, need_latency=False)
    source = _Source(chosen, net, retrained, _info(space, chosen, costs.of(arch), data), data, costs.profile_runs)
    folder = run.onnx.parent
    _say_replaced(run, chosen, job.progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as temporary:  # the same disk, so that a rename is enough
            return _write(source, request, timer, run, Path(temporary))
    except OSError as problem:
        raise unwritable(run.onnx, problem) from problem


def _write(source: _Source, request: _Request, timer: Timer, run: Run, folder: Path) -> Manifest:
    """Write all files into `folder`, verify and measure them, and move them into place."""
    images = holdout_images(source.data)
    models = write_models(source.net, request.precisions, source.info, images, request.batch, folder)
    reference = _reference(source, images, request.batch, timer)
    verify_folding(source.net, images)
    verifications = [verify_export(exported, reference) for exported in models]
    latencies = _measure(source, models, timer)
    built = build_engines(models, request.engines, request.batches, folder)
    engines = verify_engines(built, models, reference, source.chosen, timer)
    files = [*(exported.file for exported in models), *engines, *write_companions(folder, source.data)]
    target = timer.target.target
    manifest = Manifest(
        **vars(source.info),
        run=run.folder.name,
        training={**source.retrained.fingerprint, "steps": source.retrained.steps},
        test_accuracy=source.retrained.test_accuracy,
        test_images=len(source.data.test.labels),
        test_accuracy_interval=wilson(source.retrained.test_accuracy, len(source.data.test.labels)),
        holdout_accuracy=source.retrained.holdout_accuracy,
        holdout_images=len(source.data.holdout),
        holdout_accuracy_interval=wilson(source.retrained.holdout_accuracy, len(source.data.holdout)),
        limits=dict(source.chosen.limits),
        measured_anchor_ms=source.chosen.anchor_ms,
        measured_latency_ms=latencies[run.onnx.name],
        estimate=target.estimate,
        target=target,
        profile_runs=source.profile_runs,
        versions=environment(),
        parity=parity_record(verifications[0].parity),
        models={
            exported.file.name: _model_record(exported, verification, latencies[exported.file.name])
            for exported, verification in zip(models, verifications, strict=True)
        },
        engines={file.name: record for file, record in engines.items()},
        files=file_records(files),
    )
    write_document(folder / run.manifest.name, manifest)
    _replace(run, [*files, folder / run.manifest.name])
    return manifest


def _info(
    space: SearchSpace, chosen: SelectedArchitecture, costs: Mapping[str, float | int | None], data: Data
) -> ModelInfo:
    return ModelInfo(
        space=space.name,
        architecture=chosen.architecture.choices,
        costs=Costs.model_validate(costs),
        classes=data.classes,
        preprocessing=preprocessing_of(data),
    )


def _reference(source: _Source, images: Pictures, batch: int | None, timer: Timer) -> Reference:
    # an estimated target has no runtime, so ONNX Runtime verifies its files
    estimate = timer.target.target.estimate
    return Reference(
        net=source.net,
        holdout_accuracy=source.retrained.holdout_accuracy,
        data=source.data,
        images=images,
        backend=backends.load("onnxruntime") if estimate else timer.target.backend,
        threads=timer.target.spec.threads,
        batch=batch,
    )


def _measure(source: _Source, models: Sequence[ExportedFile], timer: Timer) -> Mapping[str, float | None]:
    if not timer.target.target.estimate:
        return measure_models(models, source.chosen, timer)
    timer.progress.say(f"ESTIMATE: no file is measured, since {timer.target.spec.device} is not attached")
    return dict.fromkeys(exported.file.name for exported in models)


def _model_record(exported: ExportedFile, verification: ExportVerification, latency_ms: float | None) -> ModelRecord:
    return ModelRecord(
        precision=exported.precision,
        compute_precision=exported.model.precision,
        holdout_accuracy=verification.holdout_accuracy,
        convolutions=verification.convolutions,
        parity=parity_record(verification.parity),
        integer_layers=verification.integer_layers,
        measured_latency_ms=latency_ms,
        graph_hash=exported.model.graph_hash,
    )


def _say_replaced(run: Run, chosen: SelectedArchitecture, progress: Progress) -> None:
    """Name the network that the export replaces, if it is another one."""
    if not run.manifest.exists():
        return
    try:
        earlier = read_document(run.manifest, ExportedNetwork, REMEDY)
    except BadDocument:
        return
    if earlier.architecture != chosen.architecture.choices or earlier.limits != dict(chosen.limits):
        limits = ", ".join(f"{name} <= {most:g}" for name, most in earlier.limits.items()) or "no limits"
        progress.say(
            f"{run.onnx.parent} holds another export, {' '.join(earlier.architecture)} ({limits}), which is replaced. "
            f"To keep several, export each with --budget NAME or --out FOLDER"
        )


def _replace(run: Run, files: Sequence[Path]) -> None:
    """Move `files` into place, and delete those of the earlier export with the verdict on it."""
    folder = run.onnx.parent
    run.verdict.unlink(missing_ok=True)
    if run.manifest.exists():
        earlier = _earlier_files(run)
        run.manifest.unlink()  # a manifest must never describe other files
        for name in earlier:
            (folder / Path(name).name).unlink(missing_ok=True)
    for file in files:
        file.replace(folder / file.name)


def _earlier_files(run: Run) -> tuple[str, ...]:
    """The files of the earlier export; none if its manifest is damaged."""
    try:
        return read_file_names(run.manifest)
    except BadDocument:
        return ()
