"""Files timed side by side, by the protocol of all timing here."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from exporters.manifest import sha256
from latency_db.table import summarize
from latency_db.target import Target
from toolchain.bench.accuracy import Accuracy
from toolchain.bench.subjects import Subject
from toolchain.check.judge import Round, noise_reason_of
from toolchain.errors import BadConfig, Inconclusive
from toolchain.measuring.intervals import (
    Interval,
    bounds,
    latency_interval,
    latency_statistic,
    min_rounds,
    ratio_interval,
)
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import TimedFile, time_rounds
from toolchain.measuring.target import AUTO
from toolchain.progress import Progress
from toolchain.report.bench import Point

ROUNDS = 20
SCHEMA_VERSION = 2  # 1 had one target for all entries


@dataclass(frozen=True)
class Entry:
    """One file's figures on one device and backend; latencies in ms a batch.

    Args:
        backend: as it was typed, with its settings; what was taken where none was named.
        graph_hash: None of an engine, which has no graph to read.
        precision: the file's own; of an engine what the manifest beside it says, else `unknown`.
        latency_ms: by the latency table's statistic, with its interval.
        mad_ms: the median distance of the rounds' medians from `median_ms`, which tells how steady it was.
        ratio: to the first entry, of the same rounds; 1 for the first itself.
        accuracy: None where it was not asked for or can't be known; `accuracy_note` says why.
    """

    name: str
    backend: str
    device: str
    target: Target
    file_hash: str
    graph_hash: str | None
    precision: str
    file_bytes: int
    latency_ms: Interval
    median_ms: float
    p90_ms: float
    mad_ms: float
    ratio: Interval
    accuracy: Accuracy | None = None
    accuracy_note: str = ""

    @property
    def place(self) -> str:
        """What it was timed on, as it is typed: `tensorrt@gpu0`."""
        return f"{self.backend}@{self.device}"

    def as_dict(self) -> dict[str, Any]:
        """For --json; ends of intervals that are unknown are null."""
        return {
            "name": self.name,
            "backend": self.backend,
            "device": self.device,
            "target": self.target.id,
            "file_hash": self.file_hash,
            "graph_hash": self.graph_hash,
            "precision": self.precision,
            "file_bytes": self.file_bytes,
            "latency_ms": self.latency_ms.middle,
            "latency_interval_ms": bounds(self.latency_ms),
            "median_ms": self.median_ms,
            "p90_ms": self.p90_ms,
            "mad_ms": self.mad_ms,
            "ratio": self.ratio.middle,
            "ratio_interval": bounds(self.ratio),
            "accuracy": None if self.accuracy is None else self.accuracy.share,
            "accuracy_images": None if self.accuracy is None else self.accuracy.images,
            "accuracy_note": self.accuracy_note,
        }


@dataclass(frozen=True)
class Bench:
    """All files in the order in which they were named, each on all backends in theirs."""

    entries: tuple[Entry, ...]
    rounds: int
    noisy_rounds: tuple[str, ...]
    confidence: float

    @property
    def places(self) -> tuple[str, ...]:
        """What was timed on."""
        return tuple(dict.fromkeys(entry.place for entry in self.entries))

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "entries": [entry.as_dict() for entry in self.entries],
            "rounds": self.rounds,
            "noisy_rounds": list(self.noisy_rounds),
            "confidence": self.confidence,
            "targets": {entry.target.id: entry.target.as_dict() for entry in self.entries},
        }


def bench(
    subjects: Sequence[Subject],
    rounds: int,
    confidence: float,
    min_ms: float,
    seed: int,
    db: str,
    progress: Progress,
    accuracies: Mapping[Subject, Accuracy | str],
) -> Bench:
    """Time all subjects in each round, in random order, and compare each with the first.

    Args:
        confidence: of the intervals, 0 to 1.
        accuracies: a figure, or why there is none.

    Raises:
        BadConfig: rounds too few for an interval.
        NotOnnx, EngineFailed, BackendUnavailable: a file can't be run.
        Inconclusive: too few rounds were quiet.
    """
    error = 1 - confidence
    if rounds < min_rounds(error):
        raise BadConfig(
            f"{rounds} rounds bound nothing at {confidence * 100:.4g} %. Give --rounds {min_rounds(error)} or more"
        )
    keys = {str(number): subject for number, subject in enumerate(subjects)}  # a file may be named twice
    files = {key: TimedFile(subject.model, subject.target) for key, subject in keys.items()}
    plan = MeasurementPlan(rounds, min_ms, quiet_timeout_s=0.0, seed=seed)
    counted: list[Round] = []
    noisy_rounds: list[str] = []
    with closing(time_rounds(files, plan, db, progress, "time files")) as timed:  # type: ignore[type-var]
        for _, round_ in timed:
            if reason := noise_reason_of(round_):
                noisy_rounds.append(reason)
            else:
                counted.append(round_)
    if len(counted) < min_rounds(error):
        raise Inconclusive(
            f"{len(noisy_rounds)} of {rounds} rounds were noisy (the last: {noisy_rounds[-1]}). "
            f"Find a quieter machine, or give more --rounds"
        )
    entries: list[Entry] = []
    first: list[float] = []  # the first entry's figure in each round
    for key, subject in keys.items():
        spec, target = subject.target.spec, subject.target.target
        threads = spec.threads
        figure = latency_statistic(threads, target.device_kind)
        samples = [round_[key] for round_ in counted]
        figures = [figure([sample]) for sample in samples]
        first = first or figures
        summary, accuracy = summarize(samples, threads, target.device_kind), accuracies.get(subject, "")
        entries.append(
            Entry(
                name=subject.name,
                backend=target.backend if spec.backend == AUTO else spec.backend,
                device=spec.device,
                target=target,
                file_hash=sha256(subject.file) if subject.is_engine else subject.model.sha256,
                graph_hash=None if subject.is_engine else subject.model.graph_hash,
                precision=target.precision,
                file_bytes=subject.file.stat().st_size if subject.is_engine else subject.model.n_bytes,
                latency_ms=latency_interval(samples, figure, error),
                median_ms=summary.median_ms,
                p90_ms=summary.p90_ms,
                mad_ms=summary.mad_ms,
                ratio=ratio_interval(figures, first, error),
                accuracy=None if isinstance(accuracy, str) else accuracy,
                accuracy_note=accuracy if isinstance(accuracy, str) else "",
            )
        )
    return Bench(tuple(entries), len(counted), tuple(noisy_rounds), confidence)


def points_of(found: Bench) -> list[Point]:
    """What is drawn of it."""
    return [
        Point(
            f"{entry.name}, {entry.place}" if len(found.places) > 1 else entry.name,
            entry.latency_ms.middle,
            (entry.latency_ms.low, entry.latency_ms.high),
            None if entry.accuracy is None else (entry.accuracy.share, entry.accuracy.standard_error),
        )
        for entry in found.entries
    ]
