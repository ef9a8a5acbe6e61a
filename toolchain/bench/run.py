"""Files timed side by side, by the protocol of all timing here."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from exporters.precision import precision_of
from exporters.to_onnx import graph_hash
from latency_db.context import Context
from latency_db.table import summarise
from toolchain.bench.accuracy import Accuracy
from toolchain.bench.subjects import Subject
from toolchain.check.judge import Seen
from toolchain.config import ProfileConfig
from toolchain.errors import BadConfig, Inconclusive
from toolchain.intervals import Interval, ends, figure_of, latency_interval, least_rounds, ratio_interval
from toolchain.profiling.measure import rounds_of
from toolchain.profiling.stack import context_of
from toolchain.progress import Progress
from toolchain.reporting.bench import Point

ROUNDS = 20
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One file's figures; latencies in ms a batch.

    Args:
        latency_ms: by the latency table's statistic, with its interval.
        mad_ms: the median distance of the rounds' medians from `median_ms`, which tells how steady it was.
        ratio: to the first file, of the same rounds; 1 for the first itself.
        accuracy: None where it was not asked for or can't be known; `accuracy_note` says why.
    """

    name: str
    graph_hash: str
    precision: str
    file_bytes: int
    latency_ms: Interval
    median_ms: float
    p90_ms: float
    mad_ms: float
    ratio: Interval
    accuracy: Accuracy | None = None
    accuracy_note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For --json; ends of intervals that are unknown are null."""
        return {
            "name": self.name,
            "graph_hash": self.graph_hash,
            "precision": self.precision,
            "file_bytes": self.file_bytes,
            "latency_ms": self.latency_ms.middle,
            "latency_interval_ms": ends(self.latency_ms),
            "median_ms": self.median_ms,
            "p90_ms": self.p90_ms,
            "mad_ms": self.mad_ms,
            "ratio": self.ratio.middle,
            "ratio_interval": ends(self.ratio),
            "accuracy": None if self.accuracy is None else self.accuracy.share,
            "accuracy_images": None if self.accuracy is None else self.accuracy.images,
            "accuracy_note": self.accuracy_note,
        }


@dataclass(frozen=True)
class Bench:
    """All files, in the order in which they were named."""

    entries: tuple[Entry, ...]
    context: Context
    rounds: int
    disturbed: tuple[str, ...]
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "entries": [entry.as_dict() for entry in self.entries],
            "rounds": self.rounds,
            "disturbed": list(self.disturbed),
            "confidence": self.confidence,
            "context": self.context.as_dict(),
        }


def bench(
    subjects: Sequence[Subject],
    config: ProfileConfig,
    rounds: int,
    confidence: float,
    seed: int,
    progress: Progress,
    accuracies: Mapping[str, Accuracy | str],
) -> Bench:
    """Time all files in each round, in random order, and compare each with the first.

    Args:
        confidence: of the intervals, 0 to 1.
        accuracies: by name, a figure, or why there is none.

    Raises:
        BadConfig: rounds too few for an interval, or a backend that only estimates.
        NotOnnx, BackendUnavailable: a file can't be run.
        Inconclusive: too few rounds were undisturbed.
    """
    error = 1 - confidence
    if rounds < least_rounds(error):
        raise BadConfig(
            f"{rounds} rounds bound nothing at {confidence * 100:.4g} %. Give --rounds {least_rounds(error)} or more"
        )
    context = context_of(config)
    if context.estimate:
        raise BadConfig(
            f"a bench measures, and {config.device} is only estimated here. Take estimate = true out of "
            f"nastool.toml, or type this where the device is"
        )
    keys = {str(number): subject for number, subject in enumerate(subjects)}  # a file may be named twice
    figure = figure_of(config.threads, context.device_kind)
    seen = Seen(figure)
    files = {key: subject.file for key, subject in keys.items()}
    profile = config.model_copy(update={"rounds": rounds})
    with closing(rounds_of(files, profile, seed, 0, progress, "time files", own_precision=True)) as timed:  # type: ignore[type-var]
        for _, round_ in timed:
            seen.add(round_)
    if len(seen.counted) < least_rounds(error):
        raise Inconclusive(
            f"{len(seen.disturbed)} of {rounds} rounds were disturbed (the last: {seen.disturbed[-1]}). "
            f"Find a quieter machine, or give more --rounds"
        )
    entries = []
    for key, subject in keys.items():
        samples = [round_[key] for round_ in seen.counted]
        summary, accuracy = summarise(samples, config.threads, context.device_kind), accuracies.get(subject.name, "")
        entries.append(
            Entry(
                name=subject.name,
                graph_hash=graph_hash(subject.file),
                precision=precision_of(subject.file),
                file_bytes=subject.file.stat().st_size,
                latency_ms=latency_interval(samples, figure, error),
                median_ms=summary.median_ms,
                p90_ms=summary.p90_ms,
                mad_ms=summary.mad_ms,
                ratio=ratio_interval(seen.figures[key], seen.figures["0"], error),
                accuracy=None if isinstance(accuracy, str) else accuracy,
                accuracy_note=accuracy if isinstance(accuracy, str) else "",
            )
        )
    return Bench(tuple(entries), context, len(seen.counted), tuple(seen.disturbed), confidence)


def points_of(found: Bench) -> list[Point]:
    """What is drawn of it."""
    return [
        Point(
            entry.name,
            entry.latency_ms.middle,
            (entry.latency_ms.low, entry.latency_ms.high),
            None if entry.accuracy is None else (entry.accuracy.share, entry.accuracy.standard_error),
        )
        for entry in found.entries
    ]
