"""A latency table as one portable file: targets, finished runs with raw samples, and a digest."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import TypeAdapter, ValidationError

from latency_db.errors import BadTransfer
from latency_db.export_version_1 import to_version_2
from latency_db.fields import Values, first_problem
from latency_db.runs import ProfileRun, RunRecord
from latency_db.store import Store
from latency_db.table import Sample
from latency_db.target import Target

FORMAT, VERSION = "nastool latency table", 2
REMEDY = "Write the file again with nastool db export FILE, on the machine that has the table"
ROUNDING = 1e-9  # relative; a file keeps all digits of a time


@dataclass(frozen=True)
class ExportedRun:
    """A run with its records and their raw samples."""

    __pydantic_config__ = Values

    run: ProfileRun
    records: tuple[RunRecord, ...]


@dataclass(frozen=True)
class Export:
    """The content of a file: targets by id, their runs, and the digest of both."""

    targets: Mapping[str, Target]
    runs: tuple[ExportedRun, ...]
    sha256: str


@dataclass(frozen=True)
class Imported:
    """The result of an import, in runs. `hidden` counts added runs with records that were measured here as well."""

    added: int
    already_present: int
    hidden: int


TARGETS, RUNS = TypeAdapter(dict[str, Target]), TypeAdapter(tuple[ExportedRun, ...])


@dataclass(frozen=True)
class PackedRuns:
    """A document for `json.dumps` with `runs` finished runs, the ids of their targets, and its digest."""

    content: Mapping[str, object]
    target_ids: frozenset[str]
    runs: int
    sha256: str


def pack(store: Store, targets: Sequence[Target]) -> PackedRuns:
    """The finished runs of these targets."""
    finished = [run for target in targets for run in store.runs(target) if run.finished_at is not None]
    runs = [
        {"run": asdict(replace(run, id=0)), "records": [asdict(record) for record in store.records(run.id)]}
        for run in finished
    ]
    used = frozenset(run.target_id for run in finished)
    body = {
        "format": FORMAT,
        "version": VERSION,
        "targets": {target.id: target.as_dict() for target in targets if target.id in used},
        "runs": runs,
    }
    digest = _digest(body)
    return PackedRuns(body | {"sha256": digest}, used, len(runs), digest)


def read_export(path: Path) -> Export:
    """The validated content of a file of `nastool db export`.

    Raises:
        BadTransfer: it cannot be read, is not an export, or is damaged or invalid; the message names the field.
    """
    try:
        return _export(json.loads(path.read_bytes()), path)
    except OSError as problem:
        raise BadTransfer(f"cannot read {path}: {problem.strerror}. {REMEDY}") from None
    except ValidationError as problem:
        raise BadTransfer(f"{path} is invalid at {first_problem(problem)}. {REMEDY}") from None
    except RecursionError:
        raise BadTransfer(f"{path} is not an exported latency table: it is nested too deeply. {REMEDY}") from None
    except ValueError as problem:
        raise BadTransfer(f"{path} is not an exported latency table, or is damaged ({problem}). {REMEDY}") from None


def import_file(store: Store, path: Path) -> Imported:
    """Copy the runs of a file into a table, as runs of the kind `import`. Runs that are present already stay unchanged.

    Raises:
        BadTransfer: as `read_export`; nothing was copied.
    """
    export = read_export(path)
    keys = store.keys_by_run()
    measured_here = {name: _measured_here(store, target, keys) for name, target in export.targets.items()}
    name = path.name.encode(errors="replace").decode()
    added = hidden = 0
    for exported in export.runs:
        run = exported.run
        origin = f"{run.kind} on {run.host}, from {name} ({export.sha256[:12]})"
        if run.origin:
            origin = f"{origin}: {run.origin}"
        copy = replace(run, kind="import", origin=origin)
        if store.add_copy(copy, export.targets[run.target_id], exported.records):
            added += 1
            hidden += any(record.key in measured_here[run.target_id] for record in exported.records)
    return Imported(added, len(export.runs) - added, hidden)


def _measured_here(store: Store, target: Target, keys: Mapping[int, frozenset[str]]) -> frozenset[str]:
    runs = [run for run in store.runs(target) if run.finished_at is not None and run.kind != "import"]
    return frozenset(key for run in runs for key in keys.get(run.id, ()))


def _export(content: Any, path: Path) -> Export:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadTransfer(f"{path} is not an exported latency table. {REMEDY}")
    version = content.get("version")
    if version not in (1, VERSION) or isinstance(version, bool):
        raise BadTransfer(
            f"{path} has version {version!r} of the format, and this nastool reads 1 and {VERSION}. "
            f"Upgrade nastool here, or export with the version that is installed here"
        )
    sha256 = content.pop("sha256", None)
    if sha256 != _digest(content):
        raise BadTransfer(f"{path} is damaged: its content does not match its digest. {REMEDY}")
    if version == 1:
        content = to_version_2(content)
    if unknown := sorted(content.keys() - {"format", "version", "targets", "runs"}):
        raise ValueError(f"unknown key {unknown[0]!r}")
    targets = TARGETS.validate_python(content.get("targets"))
    export = Export(targets, RUNS.validate_python(content.get("runs")), sha256)
    _require_consistent(export)
    return export


def _require_consistent(export: Export) -> None:
    """Check what concerns several fields.

    Raises:
        ValueError: the message names the target, run or record.
    """
    for name, target in export.targets.items():
        if target.id != name:
            raise ValueError(f"the fields of target {name} do not match its id")
    _require_unique([exported.run.uid for exported in export.runs], "run")
    for exported in export.runs:
        run = exported.run
        if run.target_id not in export.targets:
            raise ValueError(f"run {run.uid} has the target {run.target_id}, which is not in the file")
        if run.finished_at is None:
            raise ValueError(f"run {run.uid} is not finished")
        _require_unique([record.key for record in exported.records], f"run {run.uid}, record")
        for record in exported.records:
            _require_unique([timed.round for timed in record.samples], f"record {record.key}, round")
            for timed in record.samples:
                _require_own_times(timed.sample, f"record {record.key}, round {timed.round}")


def _require_unique(names: Sequence[object], what: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {name} is there twice")
        seen.add(name)


def _require_own_times(sample: Sample, where: str) -> None:
    """Minimum, median and raw times of a sample describe the same calls (see `exporters.timing.Timing`)."""
    busy, wall = (sample.busy_ms_min, sample.busy_ms_median), (sample.wall_ms_min, sample.wall_ms_median)
    if busy[0] > busy[1] or wall[0] > wall[1]:
        raise ValueError(f"{where}: a minimum is above its median")
    if not sample.raw_ms:
        return
    raw = min(sample.raw_ms), median(sample.raw_ms)
    if not any(all(map(_equal, raw, times)) for times in (busy, wall)):
        raise ValueError(f"{where}: its raw times do not have its minimum and median")


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=ROUNDING)


def _digest(body: Mapping[str, object]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
