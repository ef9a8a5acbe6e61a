"""What a file is compared with: an earlier output of `nastool check --json`, another build, or the latency table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from exporters.cuda.plans import SUFFIX as ENGINE
from exporters.graph.model import Model
from latency_db.errors import MissingLatency, TargetMismatch
from latency_db.store import Store, open_store
from latency_db.target import Target
from latency_db.where import parse, shown
from toolchain.check.evidence import COUNTED, StoredRounds
from toolchain.errors import BadConfig
from toolchain.measuring.intervals import latency_statistic

BUILDS = (".onnx", ENGINE)
DB = "db"  # the word that names the latency table
SCHEMA_VERSION: Literal[1] = 1  # of the output of `nastool check --json`

Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]


@dataclass(frozen=True)
class Baseline:
    """Either another file to be timed in the same rounds, or the rounds of an earlier measurement."""

    name: str
    build: Model | None = None
    stored: StoredRounds | None = None


class BaselineFile(BaseModel):
    """The fields of `nastool check --json` that a baseline consists of."""

    schema_version: Literal[1]
    rounds_ms: Annotated[list[tuple[Milliseconds, Milliseconds | None]], Field(min_length=1)]
    target: dict[str, str | int]


def find_baseline(source: Path, db: str, graph: str | None, target: Target) -> Baseline:
    """The baseline in a file, or for the word `db` the newest measurement of this graph in the latency table.

    Args:
        graph: graph hash of the checked file, or of the file that the checked engine was built from; None if unknown.

    Raises:
        BadConfig, TargetMismatch, MissingLatency, LatencyDbError: see `read_baseline` and `stored_baseline`.
    """
    if str(source) != DB:
        return read_baseline(source, target)
    if graph is None:
        raise BadConfig(
            "no manifest.json beside the engine says which network it was built from, so the latency table cannot be "
            "searched for it. Give a file as the baseline"
        )
    return stored_baseline(db, graph, target)


def stored_baseline(db: str, graph: str, target: Target) -> Baseline:
    """The rounds of the newest network or block variant in the table with this graph hash.

    Raises:
        MissingLatency: the table has no measurement of this graph.
        TargetMismatch: it has measurements on other targets only; the fields that differ are listed.
        LatencyDbError: the table cannot be used.
    """
    where = parse(db)
    if isinstance(where, Path) and not where.exists():
        raise _missing(db, graph)
    with open_store(db) as store:
        baseline = _newest(store, db, graph, target)
        if baseline is None:
            raise _missing_on_target(store, db, graph, target)
        return baseline


def _newest(store: Store, db: str, graph: str, target: Target) -> Baseline | None:
    statistic = latency_statistic(target.threads, target.device_kind)
    for run in reversed(store.runs(target)):
        for part in store.records(run.id) if run.finished_at is not None else ():
            samples = [taken.sample for taken in part.samples if taken.sample.noise_reason in COUNTED]
            if part.graph_hash == graph and samples:
                rounds = [(statistic([sample]), sample.anchor_ms) for sample in samples]
                return Baseline(f"{shown(db)}, run {run.id} of {run.finished_at}", stored=rounds)
    return None


def _missing_on_target(store: Store, db: str, graph: str, target: Target) -> MissingLatency | TargetMismatch:
    """Names the newest other target that has the graph, if there is one."""
    targets = {known.id: known for known, _ in store.targets() if not known.estimate and known.id != target.id}
    for run in reversed(store.runs()):
        measured = run.finished_at is not None and run.target_id in targets
        if measured and any(part.graph_hash == graph for part in store.records(run.id)):
            differences = "; ".join(target.differences(targets[run.target_id]))
            return TargetMismatch(f"{shown(db)} has this network on another target only: {differences}")
    return _missing(db, graph)


def _missing(db: str, graph: str) -> MissingLatency:
    return MissingLatency(
        f"{shown(db)} has no measurement of a network with the graph hash {graph}. A search stores the networks that "
        f"it times; give another --db, or a file as the baseline"
    )


def read_baseline(path: Path, target: Target) -> Baseline:
    """The baseline in a file: another build (.onnx or .engine), else an earlier output of the check.

    Raises:
        BadConfig: the file does not exist or is not a baseline.
        TargetMismatch: it was measured on another target; the fields that differ are listed.
    """
    if path.suffix in BUILDS:
        if not path.exists():
            raise BadConfig(
                f"the baseline {path} does not exist. Name an output of nastool check --json, an ONNX file or an engine"
            )
        return Baseline(str(path), build=Model(path))
    rewrite = f"nastool check --latency ... --json > {path}"
    try:
        content = BaselineFile.model_validate_json(path.read_bytes())
        measured_on = Target.from_dict(content.target)
    except (OSError, ValidationError, TypeError) as problem:
        raise BadConfig(f"{path} is not a baseline: {_reason(problem)}. Write one with {rewrite}") from None
    if differences := target.differences(measured_on):
        raise TargetMismatch(
            f"the baseline {path} was measured on another target: {'; '.join(differences)}. "
            f"Measure a baseline on this one with {rewrite}"
        )
    return Baseline(str(path), stored=content.rounds_ms)


def _reason(problem: OSError | ValidationError | TypeError) -> str:
    if isinstance(problem, OSError):
        return f"it cannot be read ({problem.strerror})"
    if isinstance(problem, TypeError):
        return "the fields of its target are not those of this version"
    first = problem.errors()[0]
    field = ".".join(map(str, first["loc"]))
    return f"{field}: {first['msg']}" if field else first["msg"]
