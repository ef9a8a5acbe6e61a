"""`nastool profile`: every distinct part of a space, timed on the device, into the latency table."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.devices.attached import find
from exporters.graph.to_onnx import graph_hash
from latency_db.store import Store, open_store
from latency_db.table import LatencyTable
from latency_db.target import Target
from latency_db.where import exists, shown
from toolchain.config import Config
from toolchain.costs.latency import REGRESSION, network_prefix, position_keys, stem_key
from toolchain.errors import BadConfig
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.rounds import trusted_rounds
from toolchain.measuring.target import target_of, usable_backend
from toolchain.profiling.networks import networks
from toolchain.profiling.variants import Variant, variants
from toolchain.progress import Progress
from toolchain.spaces.core import SearchSpace


@dataclass(frozen=True)
class Profiled:
    """What a profile left in the database."""

    table: LatencyTable
    target: Target
    db: str  # where it is, without a password


def profile(config: Config, space: SearchSpace, progress: Progress) -> Profiled:
    """Time the parts of `space`, a round at a time, until they can be trusted; a round is stored as a whole.

    A profile that was killed goes on with the round that it was in.

    Raises:
        UnknownDevice, BackendUnavailable: there is nothing to measure on.
        BadConfig: the space is quantized.
        LatencyDbError: the database can't be used.
    """
    if space.quantized:
        raise BadConfig(
            f"{space.name} has layers of 1 to 4 bits, and no runtime here runs those any quicker than 8 bits: they "
            f"have no latency of their own. Search it with --bitops, or profile it with the option bits=float"
        )
    if config.profile.precision == "int8":
        raise BadConfig(
            "parts of int8 networks can't be profiled: a network is quantized as a whole, with scales from its own "
            "images. Profile in fp32 or fp16, and time an int8 file by its name: nastool bench model.int8.onnx"
        )
    target, _ = target_of(config.profile), usable_backend(config.profile)
    if config.profile.estimate:  # one round says all, and whole networks would be the estimate against itself
        once = config.profile.model_copy(update={"rounds": 1, "networks": 0})
        config = config.model_copy(update={"profile": once})
    with open_store(config.profile.db) as store, TemporaryDirectory(prefix="nastool-") as folder:
        timed = (*variants(space), *networks(space, config.profile.networks, config.seed))
        files = _export(timed, config.profile.precision, Path(folder), progress)
        run_id = _begin_or_resume(store, target, space, files, config)
        done = store.samples(run_id)
        if done:
            planned = config.profile.rounds
            progress.say(f"going on with round {len(done) + 1}" + (f" of {planned}" if len(done) < planned else ""))
        for number, samples in trusted_rounds(files, config.profile, config.seed, done, progress, "time parts"):
            # the anchor network is no part of a space; its time is in every sample
            store.add_round(run_id, number, {key: sample for key, sample in samples.items() if key in files})
        store.finish_run(run_id)
        return Profiled(load_table(config, space), target, store.name)


def profile_if_missing(config: Config, space: SearchSpace, progress: Progress) -> Profiled:
    """What was measured before on this target if it is whole, else `profile`."""
    if exists(config.profile.db):
        table = load_table(config, space)
        networks_there = sum(key.startswith(network_prefix(space)) for key in table.rows)
        wanted = 0 if config.profile.estimate else min(config.profile.networks, space.size)
        if all(variant.key in table.rows for variant in variants(space)) and networks_there >= wanted:
            return Profiled(table, table.target, shown(config.profile.db))
    return profile(config, space, progress)


def load_table(config: Config, space: SearchSpace) -> LatencyTable:
    """What was measured of `space`, parts and whole networks, on the device, backend and batch of the configuration.

    Raises:
        LatencyDbError: the database can't be used. Parts that were not measured raise when they are asked for.
    """
    target = target_of(config.profile)
    with open_store(config.profile.db) as store:
        # without what searches verified: those were chosen for looking quick, and a search that goes on must start
        # as it began (docs/decisions/0027-recalibration-after-a-miss.md)
        keys = [variant.key for variant in variants(space)]
        if target.backend == REGRESSION:
            keys += position_keys(space)
        table = store.table(target, keys)
        networks = () if target.estimate else store.networks(target, network_prefix(space), without="verify")
        whole = {row.key: row for row in networks}
    if target.backend == REGRESSION and (stem := table.rows.get(stem_key(space))):
        # rows of one fit alone: another one shared out the same milliseconds in another way
        table = replace(table, rows={key: row for key, row in table.rows.items() if row.run_id == stem.run_id})
        whole = {key: row for key, row in whole.items() if row.run_id == stem.run_id}
    return replace(table, rows={**table.rows, **whole})


def _export(parts: tuple[Variant, ...], precision: str, folder: Path, progress: Progress) -> dict[str, Path]:
    task = progress.start("export parts", len(parts))
    files = {}
    for number, part in enumerate(parts):
        files[part.key] = folder / f"{number}.onnx"
        export_for_timing(part.build(), part.input_shape, files[part.key], precision)
        task.advance(note=part.key)
    return files


def _begin_or_resume(store: Store, target: Target, space: SearchSpace, files: dict[str, Path], config: Config) -> int:
    """The run to write to."""
    parts = {key: graph_hash(path) for key, path in files.items()}
    rounds = config.profile.rounds
    run_id = store.unfinished_run(target, parts, rounds)
    if run_id is not None:
        return run_id
    kind, state = ("estimate", {}) if target.estimate else ("profile", find(config.profile.device).conditions())
    code = version("nastool")
    return store.begin_run(target, space.name, space.digest, parts, rounds, code, kind=kind, state=state)
