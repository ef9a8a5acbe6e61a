"""The part of a report about the search: all candidates, the front, the generations, and the predicted latencies."""

from collections.abc import Iterator, Sequence

import numpy as np

from latency_db.table import LatencyTable
from toolchain.costs.core import TableCost
from toolchain.costs.latency import network_prefix
from toolchain.run_report.budgets import measured_ms
from toolchain.run_report.document import CandidatePoint, Generation, PredictedPoint, SearchReport
from toolchain.run_report.run_files import RunFiles
from toolchain.search.front import front_of
from toolchain.search.scores import CandidateLine
from toolchain.search.winner import Winner


def search_report(files: RunFiles, winner: Winner, latency: TableCost | None) -> SearchReport:
    """The search of a run.

    Args:
        winner: of the last budget.
        latency: the model that predicted it; None if the table is not here, and the front is over MACs.
    """
    points = tuple(_points(files, latency))
    by_latency = latency is not None and "latency_ms" in winner.limits
    costs = [point.latency_ms if by_latency else point.macs for point in points]
    return SearchReport(
        cost="latency_ms" if by_latency else "macs",
        candidates=points,
        front=front_of([cost or 0.0 for cost in costs], [point.accuracy for point in points]),
        generations=tuple(_generations(files.candidates)),
        predictions=() if latency is None else tuple(_predictions(files, winner, latency)),
        holdout_images=winner.holdout_images,
    )


def _points(files: RunFiles, latency: TableCost | None) -> Iterator[CandidatePoint]:
    """Each architecture once; a candidate that several strategies proposed is of the first."""
    known: set[tuple[str, ...]] = set()
    for line in files.candidates:
        if line.architecture in known:
            continue
        known.add(line.architecture)
        arch = files.space.architecture(line.architecture)
        yield CandidatePoint(
            architecture=str(arch),
            accuracy=line.accuracy,
            strategy=line.strategy,
            generation=line.generation,
            macs=int(files.counted["macs"].cost(arch)),
            latency_ms=None if latency is None else latency.cost(arch),
        )


def _generations(lines: Sequence[CandidateLine]) -> Iterator[Generation]:
    grouped: dict[tuple[str, int], list[float]] = {}
    for line in lines:
        grouped.setdefault((line.strategy, line.generation), []).append(line.accuracy)
    best: dict[str, float] = {}
    for (strategy, number), accuracies in sorted(grouped.items()):
        best[strategy] = max(best.get(strategy, 0.0), *accuracies)
        low, middle, high = (float(value) for value in np.quantile(accuracies, (0.25, 0.5, 0.75)))
        yield Generation(
            strategy=strategy,
            generation=number,
            candidates=len(accuracies),
            best_so_far=best[strategy],
            low=low,
            median=middle,
            high=high,
        )


def _predictions(files: RunFiles, winner: Winner, latency: TableCost) -> Iterator[PredictedPoint]:
    """The whole networks of the profile, which the model was calibrated on, and those that searches have timed."""
    table = files.measurements.table(winner.target, winner.profile_runs)
    assert table is not None  # the latency model is from it
    for text, measured in _profiled(files, table).items():
        yield PredictedPoint(
            architecture=text,
            predicted_ms=latency.cost(files.space.architecture(text)),
            measured_ms=measured,
            role="calibration",
        )
    for choices, measured in measured_ms(files, winner.target).items():
        arch = files.space.architecture(choices)
        yield PredictedPoint(
            architecture=str(arch), predicted_ms=latency.cost(arch), measured_ms=measured, role="search"
        )


def _profiled(files: RunFiles, table: LatencyTable) -> dict[str, float]:
    prefix = network_prefix(files.space)
    return {key.removeprefix(prefix): table.latency_ms(key) for key in table.records if key.startswith(prefix)}
