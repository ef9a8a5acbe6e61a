"""`nastool export`: the retrained winner as files that compute what was trained, and say what they cost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from exporters import backends
from exporters.errors import BackendUnavailable, OtherPrecision
from exporters.graph.graph_hash import graph_hash
from exporters.graph.precision import precision_of
from exporters.manifest import write_manifest
from latency_db.errors import TargetMismatch
from latency_db.store import open_store
from latency_db.table import Summary
from latency_db.target import Target
from latency_db.where import exists
from toolchain.config import Config
from toolchain.errors import CheckFailed, MissingStage
from toolchain.export.bundle import preprocessing_of, write_companions
from toolchain.export.engines import build_engines, engine_targets
from toolchain.export.precisions import Model, precisions_of, write_models
from toolchain.export.verification import ExportVerification, holdout_images, verify_export
from toolchain.files import unwritable
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import summarize_files
from toolchain.measuring.target import ReadyTarget
from toolchain.progress import Progress
from toolchain.runs import Run, SelectedArchitecture, environment
from toolchain.search.budget import load_costs
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import Data
from toolchain.training.stages import load_retrained
from toolchain.units import format_ms

CONFIRMATIONS = 2  # too slow counts only if it is measured again and again


def export(
    config: Config, space: SearchSpace, chosen: SelectedArchitecture, data: Data, run: Run, progress: Progress
) -> dict[str, Any]:
    """Write the run's export/: the network in each precision asked for, once it is proven and within its budget.

    Returns:
        the manifest.

    Raises:
        MissingStage, BadCheckpoint: nothing was retrained, or for another space.
        BadConfig: a precision that there is none of.
        EngineFailed, BackendUnavailable: an engine can't be built here.
        TargetMismatch: the winner's latency limit is for another target than this one.
        ParityFailed: a file and torch differ on real images; nothing is written.
        CheckFailed: the file measures over the winner's budget; nothing is written.
    """
    arch = chosen.architecture
    precisions = precisions_of(space, arch, config.profile.precision, config.export.precision)
    targets = engine_targets(config.export.sm, config.export.engine)
    net = load_retrained(space, arch, data, run)
    result = run.read(run.retrain(arch) / "result.json", "retrain")
    ready, plan, db = require_target(config.profile), measurement_plan(config), config.profile.db
    target = ready.target
    _require_stack(chosen, target, db)
    about = {
        "space": space.name,
        "architecture": list(arch.choices),
        "costs": load_costs(space, target, db, need_latency=False).of(arch),
        "classes": list(data.classes),
        "preprocessing": preprocessing_of(data),
    }
    folder = run.onnx.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as kept:  # the same disk, so that a rename is enough
            batches = _batches(config)
            batch = batches[0] if config.export.static else None
            models = write_models(net, precisions, about, holdout_images(data), batch, Path(kept))
            # an estimate has no runtime; then what is proven is what ONNX Runtime computes
            backend = backends.load("onnxruntime") if target.estimate else ready.backend
            accuracy = result["holdout_accuracy"]
            proofs = [
                verify_export(net, accuracy, each, data, backend, config.profile.threads, batch) for each in models
            ]
            measured: Mapping[str, float | None] = dict.fromkeys(each.file.name for each in models)
            if target.estimate:
                progress.say(f"ESTIMATE: no file is measured, since {config.profile.device} is not here")
            else:
                measured = _measured(models, chosen, ready, plan, db, progress)
            engines = build_engines(models, targets, batches, Path(kept))
            manifest = {
                **about,
                "run": run.folder.name,
                "training": {**result["fingerprint"], "steps": result["steps"]},
                "test_accuracy": result["test_accuracy"],
                "holdout_accuracy": accuracy,
                "limits": dict(chosen.limits),
                "measured_anchor_ms": chosen.anchor_ms,
                "measured_latency_ms": measured[run.onnx.name],
                "estimate": target.estimate,
                "target": target.as_dict(),
                "versions": environment(),
                "parity": proofs[0].as_dict()["parity"],
                "models": {
                    each.file.name: _described(each, tolerance, measured[each.file.name])
                    for each, tolerance in zip(models, proofs, strict=True)
                },
                "engines": {file.name: said for file, said in engines.items()},
            }
            written = [*(each.file for each in models), *engines, *write_companions(Path(kept), data)]
            manifest = write_manifest(Path(kept) / run.manifest.name, manifest, files=written)
            _replace(folder, run, [*written, Path(kept) / run.manifest.name])
    except OSError as problem:
        raise unwritable(run.onnx, problem) from problem
    return manifest


def _batches(config: Config) -> tuple[int, int, int]:
    """The least batch that is shipped for, the one that is tuned for, and the most."""
    tuned = config.profile.batch
    return (tuned, tuned, tuned) if config.export.static else (1, tuned, max(tuned, config.export.largest_batch))


def _require_stack(chosen: SelectedArchitecture, target: Target, db: str) -> None:
    """A latency limit holds for the target that the winner was searched for, and proves nothing on another."""
    if "latency_ms" not in chosen.limits or chosen.target in (None, target.id):
        return
    there: tuple[str, ...] = ()
    if exists(db):
        with open_store(db) as store:
            known = [found for found, _ in store.targets() if found.id == chosen.target]
        there = target.differences(known[0]) if known else ()
    raise TargetMismatch(
        f"this winner's latency limit is for another target: {'; '.join(there) or f'target {chosen.target}'}. "
        f"Export with the --device, --backend, --batch and --threads of the search (and its precision, under [profile] "
        f"in nastool.toml), or search again on this one"
    )


def _measured(
    models: Sequence[Model],
    chosen: SelectedArchitecture,
    target: ReadyTarget,
    plan: MeasurementPlan,
    db: str,
    progress: Progress,
) -> dict[str, float | None]:
    """The latency of each file in ms a batch; the first one's is within the limit.

    None where the device computes another precision than the file's: that time would be no figure of the file's.

    Raises:
        CheckFailed: it is not (`_within`).
    """
    first, *others = models
    measured: dict[str, float | None] = {first.file.name: _within(chosen, first, target, plan, db, progress)}
    for model in others:
        try:
            measured[model.file.name] = _summary(model, target, plan, db, progress).latency_ms
        except BackendUnavailable as problem:
            why = problem.reason if isinstance(problem, OtherPrecision) else problem
            progress.say(f"{model.file.name} is not measured: {why}")
            measured[model.file.name] = None
    return measured


def _within(
    chosen: SelectedArchitecture,
    model: Model,
    target: ReadyTarget,
    plan: MeasurementPlan,
    db: str,
    progress: Progress,
) -> float:
    """The latency of the file that the budget is for, in ms a batch.

    A busy machine only ever makes a file look slower. So what is over the budget is measured again and again, and
    where the anchor network is slower too, at the speed that the machine had when the budget was met.

    Raises:
        CheckFailed: it is over the budget all the same.
    """
    limit_ms = chosen.limits.get("latency_ms")
    found = _summary(model, target, plan, db, progress)
    if limit_ms is None:
        return found.latency_ms
    for attempt in range(1, CONFIRMATIONS + 1):
        if found.latency_ms <= limit_ms:
            return found.latency_ms
        again = _summary(model, target, replace(plan, seed=plan.seed + attempt), db, progress, again=True)
        found = min(found, again, key=lambda summary: summary.latency_ms)
    over = f"{format_ms(found.latency_ms)} measured, {format_ms(limit_ms)} allowed"
    then_ms = found.at_speed_of(chosen.anchor_ms)
    if min(found.latency_ms, then_ms) > limit_ms:
        raise CheckFailed(
            f"over the budget by {found.latency_ms / limit_ms - 1:.1%}: {over}. Nothing was exported. Search again "
            f"with a lower --latency, or on a quieter machine if this one is busy"
        )
    if found.latency_ms > limit_ms:
        progress.say(
            f"the machine is busy: {over}, but the anchor network takes {found.latency_ms / then_ms - 1:.1%} longer "
            f"as well than when the budget was met. Type nastool check when it is quiet"
        )
    return found.latency_ms


def _summary(
    model: Model, target: ReadyTarget, plan: MeasurementPlan, db: str, progress: Progress, again: bool = False
) -> Summary:
    own, title = target.for_precision(precision_of(model.file)), f"measure {model.file.name}{' again' if again else ''}"
    return summarize_files({"model": model.file}, own, plan, db, progress, title)["model"]


def _described(model: Model, tolerance: ExportVerification, latency_ms: float | None) -> dict[str, Any]:
    return {
        "precision": model.precision,
        "compute_precision": precision_of(model.file),
        **tolerance.as_dict(),
        "measured_latency_ms": latency_ms,
        "graph_hash": graph_hash(model.file),
    }


def _replace(folder: Path, run: Run, written: list[Path]) -> None:
    """Move what was written into place; of an earlier export nothing stays that isn't written anew."""
    earlier: list[str] = []
    if run.manifest.exists():
        try:
            earlier = list(json.loads(run.manifest.read_text())["files"])
        except (ValueError, KeyError, TypeError):  # damaged: then its files are replaced as far as names agree
            earlier = []
        run.manifest.unlink()  # a manifest never stands beside other files than its own
    for name in earlier:
        (folder / Path(name).name).unlink(missing_ok=True)
    for file in written:
        file.replace(folder / file.name)


def read_manifest(run: Run) -> dict[str, Any]:
    """What `export` wrote.

    Raises:
        MissingStage: nothing was exported.
    """
    if not run.onnx.exists():
        raise MissingStage(f"{run.onnx} is not there yet. Type nastool export --run {run.folder.name} first")
    return run.read(run.manifest, "export")
