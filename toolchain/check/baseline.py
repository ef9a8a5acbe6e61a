"""What a file is compared with: an earlier answer of `nastool check --json`, another build, or the latency table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from latency_db.errors import MissingLatency, TargetMismatch
from latency_db.store import open_store
from latency_db.target import Target
from latency_db.where import parse, shown
from toolchain.check.judge import COUNTED, Stored
from toolchain.errors import BadConfig
from toolchain.measuring.intervals import figure_of

DB = "db"  # the word that names the latency table
SCHEMA_VERSION = 1  # of the answer of `nastool check --json`


@dataclass(frozen=True)
class Baseline:
    """One of two things: another file to be timed side by side, or the rounds of an earlier measurement."""

    name: str
    build: Path | None = None
    stored: Stored | None = None


def find_baseline(named: Path, db: str, graph: str, target: Target) -> Baseline:
    """What was named: a file, or `db`, the newest measurement in the latency table of a network with this graph hash.

    Raises:
        as `read_baseline` and `measured_before`.
    """
    if str(named) == DB:
        return measured_before(db, graph, target)
    return read_baseline(named, target)


def measured_before(db: str, graph: str, target: Target) -> Baseline:
    """The rounds of the newest whole network or part in the table that computes the same.

    Raises:
        MissingLatency: there is none, on any target.
        TargetMismatch: there is one on other targets only; the fields in which the newest differs are named.
        LatencyDbError: the table can't be used.
    """
    where = parse(db)
    missing = MissingLatency(
        f"{shown(db)} has no measurement of a network with the graph hash {graph}. A search stores those of "
        f"the networks that it times; give another --db, or a baseline that is a file"
    )
    if isinstance(where, Path) and not where.exists():
        raise missing
    figure, elsewhere = figure_of(target.threads, target.device_kind), ""
    with open_store(db) as store:
        known = {found.id: found for found, _ in store.targets()}
        for run in reversed(store.runs()):
            if run.finished_at is None or known[run.target_id].estimate:
                continue
            if run.target_id != target.id and elsewhere:
                continue
            for part in store.parts(run.id):
                taken = [each.sample for each in part.taken if each.sample.noise_reason in COUNTED]
                if part.graph_hash != graph or not taken:
                    continue
                if run.target_id == target.id:
                    rounds = [(figure([sample]), sample.anchor_ms) for sample in taken]
                    return Baseline(f"{shown(db)}, run {run.id} of {run.finished_at}", stored=rounds)
                elsewhere = "; ".join(target.differences(known[run.target_id]))
    if elsewhere:
        raise TargetMismatch(f"{shown(db)} has this network of another target only: {elsewhere}")
    raise missing


def read_baseline(path: Path, target: Target) -> Baseline:
    """The baseline in a file: another build if its name ends with .onnx, else an earlier answer.

    Raises:
        BadConfig: the file is not there or is no baseline.
        TargetMismatch: it was measured on another target than `target`; the fields are named.
    """
    if path.suffix == ".onnx":
        if not path.exists():
            raise BadConfig(f"the baseline {path} is not there. Name an answer of nastool check --json or an ONNX file")
        return Baseline(str(path), build=path)
    rewrite = f"nastool check --latency ... --json > {path}"
    try:
        content = json.loads(path.read_text())
        earlier, stored = _earlier(content)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BadConfig(
            f"{path} is no baseline ({type(problem).__name__}: {problem}). Write one with {rewrite}"
        ) from None
    if differences := target.differences(earlier):
        raise TargetMismatch(
            f"the baseline {path} was measured on another target: {'; '.join(differences)}. "
            f"Measure a baseline on this one with {rewrite}"
        )
    return Baseline(str(path), stored=stored)


def _earlier(content: Mapping[str, Any]) -> tuple[Target, Stored]:
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is {version!r}, and {SCHEMA_VERSION} is known here")
    rounds = [(_ms(ms), None if reference is None else _ms(reference)) for ms, reference in content["rounds_ms"]]
    if not rounds:
        raise ValueError("it has no rounds")
    return Target.from_dict(content["target"]), rounds


def _ms(value: Any) -> float:
    if not (isinstance(value, int | float) and isfinite(value) and value > 0):
        raise ValueError(f"{value!r} ms is no latency")
    return float(value)
