"""The answer of `nastool shrink`: the original and the shrunk network, timed in the same rounds."""

from typing import Literal

from toolchain.bench.run import Bench, BenchSettings, bench
from toolchain.bench.subjects import find_subjects
from toolchain.check.outcome import Outcome
from toolchain.files import Count, Document, ImageCount, Milliseconds, Share, write_document
from toolchain.measuring.target import ReadyTarget
from toolchain.nets.model_space.weights import narrowing_of
from toolchain.pipeline.stages import CheckedExport
from toolchain.report.shrink import Network, draw_shrink
from toolchain.search.front import FrontEntry
from toolchain.shrink.original import Original
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.spaces.model_source import full_architecture
from toolchain.training.accuracy_interval import wilson
from toolchain.training.job import Job

ROUNDS = 20
CONFIDENCE = 0.95


class Figures(Document):
    """One of the two networks; latencies in ms a batch, with the ends of their 95 % interval."""

    latency_ms: Milliseconds
    latency_interval_ms: tuple[float | None, float | None]
    holdout_accuracy: Share
    test_accuracy: Share
    macs: Count
    params: Count
    file_bytes: Count


class BlockChange(Document):
    """A block that is narrower inside than in the original, or skipped."""

    block: str
    choice: str


class ChannelsBetween(Document):
    """The channels that no block chooses, where the space has fewer: those that it keeps, and those of the original."""

    kept: Count
    whole: Count


class ShrinkResult(Document):
    """The content of result.json.

    Args:
        holdout_images, test_images: that the accuracies were measured on; None in older files.
        ratio: median over the rounds of shrunk latency / original latency, with its 95 % interval. The latencies of the
            table are the statistic of `nastool bench`, so their quotient differs from it where rounds are noisy.
        architecture: one choice for each block.
        blocks: their number, changed or not.
        check: outcome of the check of the exported file; None in older files.
        channels_between: None where the space has all of them, and in older files.
        front: candidates that no other beats by inherited accuracy and predicted latency.
    """

    schema_version: Literal[1] = 1
    space: str
    data: str
    target: str
    device: str
    batch: Count
    limit_ms: Milliseconds
    original: Figures
    shrunk: Figures
    holdout_images: ImageCount | None = None
    test_images: ImageCount | None = None
    ratio: float
    ratio_interval: tuple[float | None, float | None]
    architecture: tuple[str, ...]
    blocks: Count
    changes: tuple[BlockChange, ...]
    channels_between: ChannelsBetween | None = None
    front: tuple[FrontEntry, ...]
    check: Outcome | None = None
    onnx: str
    folder: str


def compare(
    job: Job,
    target: ReadyTarget,
    original: Original,
    exported: CheckedExport,
    front: tuple[FrontEntry, ...],
) -> ShrinkResult:
    """Time both networks in the same rounds, and write result.json and its picture.

    Raises:
        Inconclusive: too many rounds were noisy.
        RunFolderError: the files cannot be written.
    """
    timed = _timed(job, target)
    arch = job.space.architecture(exported.retrained.architecture)
    limit_ms = exported.verdict.requirements.limit_ms
    assert limit_ms is not None  # the winner of a search by latency
    ratio = timed.entries[1].ratio
    result = ShrinkResult(
        space=job.space.name,
        data=job.data.name,
        target=target.target.id,
        device=target.target.device_model,
        batch=target.target.batch,
        limit_ms=limit_ms,
        original=_figures(timed, 0, original.holdout_accuracy, original.test_accuracy, original.macs, original.params),
        shrunk=_shrunk(timed, exported),
        holdout_images=len(job.data.holdout),
        test_images=len(job.data.test.labels),
        ratio=ratio.middle,
        ratio_interval=_ends(ratio.low, ratio.high),
        architecture=arch.choices,
        blocks=len(job.space.blocks),
        changes=changes_of(job.space, arch),
        channels_between=channels_between(job.space),
        front=front,
        check=exported.verdict.outcome,
        onnx=str(job.run.onnx),
        folder=str(job.run.folder),
    )
    write_document(job.run.shrink / "result.json", result)
    _draw(job, result)
    return result


def changes_of(space: SearchSpace, shrunk: Architecture) -> tuple[BlockChange, ...]:
    """The blocks that are not whole, with their names in the model where the space knows them."""
    whole = full_architecture(space)
    paths = [getattr(part, "path", "") for part in getattr(space.builder, "blocks", ())] or [""] * len(space.blocks)
    return tuple(
        BlockChange(block=path or f"block {number}", choice=choice)
        for number, (path, before, choice) in enumerate(zip(paths, whole.choices, shrunk.choices, strict=True))
        if before != choice
    )


def channels_between(space: SearchSpace) -> ChannelsBetween | None:
    """What the option `between` of the space leaves; None without it."""
    narrowing = narrowing_of(space)
    return None if narrowing is None else ChannelsBetween(kept=narrowing.kept, whole=narrowing.whole)


def _timed(job: Job, target: ReadyTarget) -> Bench:
    profile = job.config.profile
    files = [str(job.run.original), str(job.run.onnx)]
    subjects = find_subjects(files, (target.spec,), job.config.runs, job.run.shrink, job.progress)
    settings = BenchSettings(max(ROUNDS, profile.rounds), CONFIDENCE, profile.min_ms, job.config.seed, profile.db)
    return bench(subjects, settings, {}, job.progress)


def _shrunk(timed: Bench, exported: CheckedExport) -> Figures:
    retrained, costs = exported.retrained, exported.manifest.costs
    macs, params = costs.macs, costs.params
    return _figures(timed, 1, retrained.holdout_accuracy, retrained.test_accuracy, macs, params)


def _figures(timed: Bench, number: int, holdout: float, test: float, macs: int, params: int) -> Figures:
    entry = timed.entries[number]
    return Figures(
        latency_ms=entry.latency_ms.middle,
        latency_interval_ms=_ends(entry.latency_ms.low, entry.latency_ms.high),
        holdout_accuracy=holdout,
        test_accuracy=test,
        macs=macs,
        params=params,
        file_bytes=entry.file_bytes,
    )


def _ends(low: float, high: float) -> tuple[float | None, float | None]:
    """The ends of an interval; None for an unknown one, which is infinite."""
    return (low if abs(low) != float("inf") else None, high if abs(high) != float("inf") else None)


def _draw(job: Job, result: ShrinkResult) -> None:
    images = len(job.data.holdout)
    networks = [
        Network(name, network.latency_ms, network.holdout_accuracy, *wilson(network.holdout_accuracy, images))
        for name, network in (("original", result.original), ("shrunk", result.shrunk))
    ]
    front = [(entry.latency_ms, entry.holdout_accuracy) for entry in result.front if entry.latency_ms is not None]
    draw_shrink(networks, front, result.limit_ms, result.batch, job.run.shrink / "accuracy_latency_ms.png")
