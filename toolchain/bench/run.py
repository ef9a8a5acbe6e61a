"""Time files side by side in common rounds, and compare each with the first."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from exporters.manifest import sha256
from exporters.remote.content import content_of
from latency_db.table import Sample, summarize
from latency_db.target import Target
from toolchain.bench.results import Accuracy
from toolchain.bench.subjects import Subject
from toolchain.check.evidence import Round, noise_reason_of
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
from toolchain.measuring.rounds import time_rounds
from toolchain.measuring.target_spec import AUTO
from toolchain.measuring.timed_file import TimedFile
from toolchain.progress import Progress
from toolchain.report.point import Point

ROUNDS = 20
SCHEMA_VERSION = 2  # 1 had one target for all entries


@dataclass(frozen=True)
class BenchSettings:
    """How files are timed.

    Args:
        confidence: confidence level of the intervals, 0 to 1.
        min_ms: minimum time per file and round.
        seed: of the order of files within a round.
        db: the latency table; a PostgreSQL server also holds the device lock.
    """

    rounds: int
    confidence: float
    min_ms: float
    seed: int
    db: str


@dataclass(frozen=True)
class Entry:
    """The results of one file on one device and backend; latencies in ms a batch.

    Args:
        backend: the backend as given on the command line, with its settings; the default one if none was given.
        graph_hash: None for an engine, which has no graph.
        precision: the precision of the file; for an engine that of its manifest, or `unknown`.
        latency_ms: the statistic of the latency table, with its interval.
        mad_ms: median absolute deviation of the rounds' medians from `median_ms`.
        ratio: the latency divided by that of the first entry in the same rounds; 1 for the first entry.
        accuracy: None if it was not requested or is unknown; `accuracy_note` has the reason.
        peak_memory_bytes: growth of the memory of the process that runs the file, on a remote device; else None.
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
    peak_memory_bytes: int | None = None

    @property
    def place(self) -> str:
        """The backend and device, as in `--backend tensorrt@gpu0`."""
        return f"{self.backend}@{self.device}"

    def as_dict(self) -> dict[str, object]:
        """The entry in --json; unknown bounds of intervals are null."""
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
            "peak_memory_bytes": self.peak_memory_bytes,
        }


@dataclass(frozen=True)
class Bench:
    """All files in the order of the command line, each on all backends in their order."""

    entries: tuple[Entry, ...]
    rounds: int
    noisy_rounds: tuple[str, ...]
    confidence: float

    @property
    def places(self) -> tuple[str, ...]:
        """All backends with their devices, without duplicates."""
        return tuple(dict.fromkeys(entry.place for entry in self.entries))

    def as_dict(self) -> dict[str, object]:
        """The content of --json."""
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
    settings: BenchSettings,
    accuracies: Mapping[Subject, Accuracy | str],
    progress: Progress,
) -> Bench:
    """Time all subjects in each round, in random order, and compare each with the first.

    Args:
        accuracies: the accuracy of each subject, or why it is unknown.

    Raises:
        BadConfig: there are too few rounds for an interval.
        NotOnnx, EngineFailed, BackendUnavailable: a file cannot be run.
        Inconclusive: too few rounds were free of noise.
    """
    error = 1 - settings.confidence
    if settings.rounds < min_rounds(error):
        raise BadConfig(
            f"{settings.rounds} rounds are too few for intervals of {settings.confidence * 100:.4g} %. "
            f"Give --rounds {min_rounds(error)} or more"
        )
    rounds, noise_reasons = _time(subjects, settings, progress)
    if len(rounds) < min_rounds(error):
        raise Inconclusive(
            f"{len(noise_reasons)} of {settings.rounds} rounds were noisy (the last: {noise_reasons[-1]}). "
            f"Use an idle machine, or give more --rounds"
        )
    samples = [[round_[_key(number)] for round_ in rounds] for number in range(len(subjects))]
    first = _round_latencies(subjects[0], samples[0])
    entries = (
        _entry(subject, of_subject, first, error, accuracies.get(subject, ""))
        for subject, of_subject in zip(subjects, samples, strict=True)
    )
    return Bench(tuple(entries), len(rounds), tuple(noise_reasons), settings.confidence)


def _key(number: int) -> str:
    """The key of a subject in a round: not its file, which may be named twice."""
    return str(number)


def _time(subjects: Sequence[Subject], settings: BenchSettings, progress: Progress) -> tuple[list[Round], list[str]]:
    """The rounds without noise, and the reason for each noisy one."""
    files = {_key(number): TimedFile(subject.model, subject.target) for number, subject in enumerate(subjects)}
    plan = MeasurementPlan(settings.rounds, settings.min_ms, quiet_timeout_s=0.0, seed=settings.seed)
    rounds: list[Round] = []
    noise_reasons: list[str] = []
    with closing(time_rounds(files, plan, settings.db, progress, "time files")) as timed:  # type: ignore[type-var]
        for _, round_ in timed:
            if reason := noise_reason_of(round_):
                noise_reasons.append(reason)
            else:
                rounds.append(round_)
    return rounds, noise_reasons


def _round_latencies(subject: Subject, samples: Sequence[Sample]) -> list[float]:
    """The latency of `subject` in each round, in ms."""
    statistic = latency_statistic(subject.target.spec.threads, subject.target.target.device_kind)
    return [statistic([sample]) for sample in samples]


def _entry(
    subject: Subject, samples: Sequence[Sample], first: Sequence[float], error: float, accuracy: Accuracy | str
) -> Entry:
    """The results of one subject.

    Args:
        first: the latency of the first subject in each round, in ms.
        error: the error probability of the intervals.
    """
    spec, target = subject.target.spec, subject.target.target
    summary = summarize(samples, spec.threads, target.device_kind)
    return Entry(
        name=subject.name,
        backend=target.backend if spec.backend == AUTO else spec.backend,
        device=spec.device,
        target=target,
        file_hash=sha256(subject.file) if subject.is_engine else subject.model.sha256,
        graph_hash=None if subject.is_engine else subject.model.graph_hash,
        precision=target.precision,
        file_bytes=subject.file.stat().st_size if subject.is_engine else subject.model.n_bytes,
        latency_ms=latency_interval(samples, latency_statistic(spec.threads, target.device_kind), error),
        median_ms=summary.median_ms,
        p90_ms=summary.p90_ms,
        mad_ms=summary.mad_ms,
        ratio=ratio_interval(_round_latencies(subject, samples), first, error),
        accuracy=None if isinstance(accuracy, str) else accuracy,
        accuracy_note=accuracy if isinstance(accuracy, str) else "",
        peak_memory_bytes=_peak_memory(subject),
    )


def _peak_memory(subject: Subject) -> int | None:
    """How much memory a file took on a remote device; None where that is not known."""
    device = subject.target.device
    if device is None or device.remote is None or subject.is_engine:
        return None
    digest = hashlib.sha256(content_of(subject.model)).hexdigest()
    return device.remote.peak_bytes.get(digest) or None


def points_of(result: Bench) -> list[Point]:
    """The points of the accuracy-latency plot."""
    return [
        Point(
            f"{entry.name}, {entry.place}" if len(result.places) > 1 else entry.name,
            entry.latency_ms.middle,
            (entry.latency_ms.low, entry.latency_ms.high),
            None if entry.accuracy is None else (entry.accuracy.share, *entry.accuracy.interval),
        )
        for entry in result.entries
    ]
