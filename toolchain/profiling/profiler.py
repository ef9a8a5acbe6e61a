"""`nastool profile`: every block variant of a space, timed on the device, into the latency table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.graph.model import Model
from latency_db.runs import NewRun
from latency_db.store import Store, open_store
from latency_db.table import LatencyTable, Record
from latency_db.target import Target
from latency_db.where import exists, shown
from toolchain.config import Config
from toolchain.costs.calibration import Calibration
from toolchain.costs.latency import latency_model, network_prefix
from toolchain.errors import BadConfig
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.groups import memory_for_files
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import on_target, time_until_stable
from toolchain.measuring.space_precision import CONTAINER, for_space, form_of
from toolchain.measuring.target import ReadyTarget
from toolchain.profiling.networks import networks
from toolchain.profiling.stored_table import load_table
from toolchain.profiling.variants import Variant, inside_network, variants
from toolchain.progress import Progress
from toolchain.spaces.core import SearchSpace


@dataclass(frozen=True)
class Profiled:
    """What a profile left in the database."""

    space: SearchSpace
    table: LatencyTable
    target: Target
    db: str  # where it is, without a password

    @property
    def variants(self) -> list[Record]:
        """The records of block variants, stem and head."""
        return [record for key, record in self.table.records.items() if not key.startswith(network_prefix(self.space))]

    @property
    def networks(self) -> dict[str, Record]:
        """The records of whole networks by architecture."""
        prefix = network_prefix(self.space)
        return {
            key.removeprefix(prefix): record for key, record in self.table.records.items() if key.startswith(prefix)
        }

    @property
    def calibration(self) -> Calibration:
        """Of sums of variants, on the whole networks.

        Raises:
            MissingLatency: a block variant was not measured.
        """
        return latency_model(self.space, self.table).calibration

    def as_dict(self) -> dict[str, object]:
        """The content of --json."""
        return {
            "space": self.space.name,
            "db": self.db,
            "estimate": self.target.estimate,
            "target": self.target.as_dict(),
            "rows": [
                {"key": record.key, **vars(record.summary), "graph_hash": record.graph_hash} for record in self.variants
            ],
            "networks": [
                {"architecture": arch.split(), **vars(record.summary)} for arch, record in self.networks.items()
            ],
            "calibration": vars(self.calibration),
        }


def profile(config: Config, space: SearchSpace, progress: Progress) -> Profiled:
    """Time the block variants and networks of `space` into the latency table; see `profile_space`.

    Raises:
        UnknownDevice, DeviceMissing, BackendUnavailable: nothing can be measured on the target of the configuration.
        BadConfig: low-bit networks are to be estimated, or timed in fp16.
        LatencyDbError: the database cannot be used.
    """
    require_profilable(space, config.profile.estimate)
    target = require_target(for_space(config.profile, space))
    return profile_space(space, target, measurement_plan(config), config.profile.db, progress)


def profile_if_missing(
    space: SearchSpace, target: ReadyTarget, plan: MeasurementPlan, db: str, progress: Progress
) -> Profiled:
    """The records of the target if the table holds all of them, else those of `profile_space`.

    Raises:
        BadConfig: low-bit networks are to be estimated.
        LatencyDbError: the database cannot be used.
    """
    require_profilable(space, target.target.estimate)
    if exists(db):
        table = load_table(space, target.target, db)
        stored = sum(key.startswith(network_prefix(space)) for key in table.records)
        needed = 0 if target.target.estimate else min(plan.networks, space.size)
        if all(variant.key in table.records for variant in variants(space)) and stored >= needed:
            return Profiled(space, table, table.target, shown(db))
    return profile_space(space, target, plan, db, progress)


def profile_space(
    space: SearchSpace, target: ReadyTarget, plan: MeasurementPlan, db: str, progress: Progress
) -> Profiled:
    """Time variants and networks until their latencies are stable; each round is stored as soon as it is complete.

    Resumes from the round in which it was killed when rerun.

    Raises:
        LatencyDbError: the database cannot be used.
    """
    if target.target.estimate:  # an estimate does not vary, and networks would compare it with itself
        plan = replace(plan, rounds=1, networks=0)
    with open_store(db), TemporaryDirectory(prefix="nastool-") as folder:  # a bad database is refused before the work
        files = export_files(space, [target], plan, Path(folder), progress)
        return profile_files(space, target, files, plan, db, progress)


def export_files(
    space: SearchSpace, targets: Sequence[ReadyTarget], plan: MeasurementPlan, folder: Path, progress: Progress
) -> dict[str, Model]:
    """Everything that a profile times, exported into `folder` once for targets of one form of files."""
    timed = (*variants(space), *networks(space, plan.networks, plan.seed))
    if targets[0].target.precision == CONTAINER:
        timed = inside_network(timed, space)
    return _export(timed, targets, folder, progress)


def form_on(target: ReadyTarget) -> str:
    """The form of the files that are timed on a target; see `form_of`."""
    return form_of(target.target.precision, target.target.backend)


def profile_files(
    space: SearchSpace,
    target: ReadyTarget,
    files: Mapping[str, Model],
    plan: MeasurementPlan,
    db: str,
    progress: Progress,
) -> Profiled:
    """Time exported files until their latencies are stable; see `profile_space`."""
    with open_store(db) as store:
        run_id = _begin_or_resume(store, target, space, files, plan.rounds)
        timed_files, done = on_target(files, target), store.samples(run_id)
        if done:
            of = f" of {plan.rounds}" if len(done) < plan.rounds else ""
            progress.say(f"resuming with round {len(done) + 1}{of}")
        for number, samples in time_until_stable(timed_files, plan, db, progress, "time variants", done):
            # the anchor network is not part of a space; its time is stored with every sample
            store.add_round(run_id, number, {key: sample for key, sample in samples.items() if key in files})
        store.finish_run(run_id)
        return Profiled(space, load_table(space, target.target, db), target.target, store.name)


def require_profilable(space: SearchSpace, estimate: bool) -> None:
    """Refuse an estimate of low-bit networks: their latency is that of int8 containers, which only runtimes know."""
    if space.quantized and estimate:
        raise BadConfig(
            f"{space.name} has layers of 1 to 4 bits, which run in int8 containers, and estimates are made in fp32. "
            f"Profile it on the device, search it with --bitops, or estimate it with the option bits=float"
        )


def _export(
    timed: tuple[Variant, ...], targets: Sequence[ReadyTarget], folder: Path, progress: Progress
) -> dict[str, Model]:
    in_groups = any(memory_for_files(target) is not None for target in targets)
    task = progress.start("export variants", len(timed))
    form = form_on(targets[0])
    files = {}
    for number, variant in enumerate(timed):
        model = Model(folder / f"{number}.onnx")
        export_for_timing(variant.build(), variant.input_shape, model.path, variant.form_on(form))
        _read_once(model, in_groups)
        files[variant.key] = model
        task.advance(note=variant.key)
    return files


def _read_once(model: Model, in_groups: bool) -> None:
    """Read what a profile needs of a file, so that not all parsed files are in memory at the same time."""
    _ = model.graph_hash, model.precision, model.half_scales, model.has_data_files
    if in_groups:
        _ = model.footprint
    model.release()


def _begin_or_resume(
    store: Store, target: ReadyTarget, space: SearchSpace, files: Mapping[str, Model], rounds: int
) -> int:
    """The id of the run that rounds are added to."""
    graphs = {key: model.graph_hash for key, model in files.items()}
    run_id = store.unfinished_run(target.target, graphs, rounds)
    if run_id is not None:
        return run_id
    new = NewRun(
        space=space.name,
        space_digest=space.digest,
        code_version=version("nastool"),
        rounds=rounds,
        kind="estimate" if target.target.estimate else "profile",
        conditions=target.conditions(),
    )
    return store.begin_run(target.target, graphs, new)
