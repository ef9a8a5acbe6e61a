"""A latency table as one portable file: targets, finished runs, raw samples, where they come from, and a digest."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from latency_db.errors import BadTransfer
from latency_db.records import Part, RecordedRun, Taken
from latency_db.schema import KINDS
from latency_db.store import Store
from latency_db.table import Sample
from latency_db.target import Target

FORMAT, VERSION = "nastool latency table", 1
REMEDY = "Write one with nastool db export FILE, where the table is"


@dataclass(frozen=True)
class Exported:
    """The content of a file: each run with its target and what it measured."""

    digest: str
    runs: tuple[tuple[RecordedRun, Target, tuple[Part, ...]], ...]


@dataclass(frozen=True)
class Imported:
    """What an import did, in runs."""

    added: int
    here_already: int


def pack(store: Store, targets: Sequence[Target]) -> dict[str, Any]:
    """The finished runs of these targets, as a document for `json.dumps`."""
    runs = []
    for target in targets:
        for run in store.runs(target):
            if run.finished_at is not None:
                values = asdict(run)
                del values["id"]  # a number of this database; `uid` is the run's name everywhere
                runs.append(values | {"parts": [_part_values(part) for part in store.parts(run.id)]})
    used = {run["target_id"] for run in runs}
    body = {
        "format": FORMAT,
        "version": VERSION,
        "targets": {target.id: target.as_dict() for target in targets if target.id in used},
        "runs": runs,
    }
    return body | {"sha256": _digest(body)}


def read_export(path: Path) -> Exported:
    """The content of a file of `nastool db export`, checked.

    Raises:
        BadTransfer: it can't be read, is another program's, was changed or cut, or comes from another version.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as problem:
        raise BadTransfer(f"can't read {path}: {problem.strerror}. {REMEDY}") from None
    except ValueError as problem:
        raise BadTransfer(f"{path} is no exported latency table, or is damaged ({problem}). {REMEDY}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadTransfer(f"{path} is no exported latency table. {REMEDY}")
    if content.get("version") != VERSION:
        raise BadTransfer(
            f"{path} has version {content.get('version')!r} of the format, and this nastool reads {VERSION}. "
            f"Export it again with the nastool that you have here"
        )
    digest = content.pop("sha256", None)
    if digest != _digest(content):
        raise BadTransfer(f"{path} is damaged: its content is not what its digest was made of. {REMEDY}")
    try:
        targets = {name: Target.from_dict(values) for name, values in content["targets"].items()}
        if wrong := [name for name, target in targets.items() if target.id != name]:
            raise ValueError(f"target {wrong[0]} has another id")
        runs = tuple(_run(values, targets) for values in content["runs"])
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise BadTransfer(
            f"{path} holds what this nastool does not know ({type(problem).__name__}: {problem}). "
            f"Export it again with the nastool that you have here"
        ) from None
    return Exported(digest, runs)


def take_in(store: Store, path: Path) -> Imported:
    """Copy the runs of a file into a table, as runs of the kind `import`; one that is here already is left as it is.

    Raises:
        BadTransfer: as `read_export`; nothing was copied.
    """
    exported = read_export(path)
    added = 0
    for run, target, parts in exported.runs:
        origin = f"{run.kind} on {run.host}, from {path.name} ({exported.digest[:12]})"
        if run.origin:
            origin = f"{origin}: {run.origin}"
        added += store.add_copy(replace(run, kind="import", origin=origin), target, parts)
    return Imported(added, len(exported.runs) - added)


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _part_values(part: Part) -> dict[str, Any]:
    taken = [{"round": t.round, "taken_at": t.taken_at, **asdict(t.sample)} for t in part.taken]
    return {"key": part.key, "graph_hash": part.graph_hash, "samples": taken}


def _run(values: Mapping[str, Any], targets: Mapping[str, Target]) -> tuple[RecordedRun, Target, tuple[Part, ...]]:
    fields = {name: value for name, value in values.items() if name != "parts"}
    run = RecordedRun(id=0, **fields)
    if run.kind not in KINDS or not run.finished_at or not run.uid:
        raise ValueError(f"run {run.uid!r} of the kind {run.kind!r}")
    return run, targets[run.target_id], tuple(_part(part) for part in values["parts"])


def _part(values: Mapping[str, Any]) -> Part:
    taken = []
    for given in values["samples"]:
        fields = dict(given)
        round_, taken_at = int(fields.pop("round")), str(fields.pop("taken_at"))
        sample = Sample(**fields | {"raw_ms": tuple(fields["raw_ms"])})
        figures = (sample.wall_ms_min, sample.wall_ms_median, sample.busy_ms_min, sample.busy_ms_median, *sample.raw_ms)
        if not all(math.isfinite(ms) and ms >= 0 for ms in figures):
            raise ValueError(f"{values['key']} has a latency that is none")
        taken.append(Taken(round_, taken_at, sample))
    return Part(str(values["key"]), str(values["graph_hash"]), tuple(taken))
