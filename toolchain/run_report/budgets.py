"""The part of a report about one budget: the verdict, what the winner is compared with, and what was exported."""

from collections.abc import Iterator, Mapping

from toolchain.costs.core import TableCost
from toolchain.costs.counters import default_cost_name
from toolchain.export.manifest import Manifest
from toolchain.report.blocks import network_parts
from toolchain.run_report.document import (
    Accuracy,
    BudgetReport,
    ComparedNetwork,
    Exported,
    Latency,
    LimitResult,
    Verdict,
)
from toolchain.run_report.run_files import Choices, RunFiles
from toolchain.search.scores import CandidateLine
from toolchain.search.strategies import RANDOM
from toolchain.search.winner import Latencies, Winner
from toolchain.training.accuracy_interval import wilson

NAMES = {"evolution": "finalist", "simple": "simple network"}


def accuracy(share: float, images: int | None) -> Accuracy:
    """An accuracy with its interval."""
    low, high = (None, None) if images is None else wilson(share, images)
    return Accuracy(share=share, images=images, low=low, high=high)


def budget_report(files: RunFiles, name: str, latency: TableCost | None, missing: tuple[str, ...]) -> BudgetReport:
    """The report of the budget `name`.

    Args:
        latency: the model that predicted its winner; None if the table is not here.
        missing: the commands that complete it.
    """
    winner = files.winners[name]
    arch = files.space.architecture(winner.architecture)
    counts = {cost: int(files.counted[cost].cost(arch)) for cost in files.counted}
    limits = tuple(limit_results(winner, counts))
    retrained = files.retrained.get(winner.architecture)
    divided = latency or files.counted[default_cost_name(files.space)]
    return BudgetReport(
        name=name,
        architecture=winner.architecture,
        limits=limits,
        verdict=_verdict(limits),
        inherited=accuracy(winner.holdout_accuracy, winner.holdout_images),
        retrained_holdout=accuracy(retrained.holdout_accuracy, retrained.holdout_images) if retrained else None,
        test=accuracy(retrained.test_accuracy, retrained.test_images) if retrained else None,
        predicted=_predicted(winner),
        measured=_measured(winner),
        estimate=winner.estimate,
        **counts,
        statement=winner.finalists.statement if winner.finalists else "",
        evaluations=winner.evaluations,
        compared=tuple(_compared(files, winner, counts)),
        exported=_exported(files, name),
        check=files.verdict(name),
        calibration=winner.calibration,
        network=network_parts(files.space, arch, divided, f"winner of {name}"),
        missing=missing,
    )


def limit_results(winner: Winner, counts: Mapping[str, int]) -> Iterator[LimitResult]:
    """Each limit with what the winner has; a latency is compared by the upper end of its interval."""
    for cost, most in winner.limits.items():
        there = latencies_under(winner, cost)
        if there is None:
            count = counts.get(cost)
            met = None if count is None else count <= most
            yield LimitResult(cost=cost, most=most, value=count, bound=count, met=met)
            continue
        value = there.measured_latency_ms or there.latency_ms
        bound = there.measured_upper_ms or there.measured_latency_ms
        met = None if bound is None else bound <= most
        yield LimitResult(cost=cost, most=most, value=value, bound=bound or there.latency_upper_ms, met=met)


def latencies_under(winner: Winner, cost: str) -> Latencies | None:
    """The latencies that a limit on `cost` is for; None for other costs.

    Those of a shared budget on further devices are `latency_ms@NAME`, in the order of `elsewhere`.
    """
    if cost == "latency_ms":
        return winner
    shared = [name for name in winner.limits if name.startswith("latency_ms@")]
    there = dict(zip(shared, winner.elsewhere.values(), strict=False))
    return there.get(cost)


def _verdict(limits: tuple[LimitResult, ...]) -> Verdict:
    if any(limit.met is False for limit in limits):
        return "missed"
    return "unknown" if any(limit.met is None for limit in limits) else "met"


def _predicted(winner: Winner) -> Latency | None:
    return None if winner.latency_ms is None else Latency(ms=winner.latency_ms, upper_ms=winner.latency_upper_ms)


def _measured(winner: Winner) -> Latency | None:
    if winner.measured_latency_ms is None:
        return None
    return Latency(ms=winner.measured_latency_ms, upper_ms=winner.measured_upper_ms, unstable=winner.measured_unstable)


def _compared(files: RunFiles, winner: Winner, counts: Mapping[str, int]) -> Iterator[ComparedNetwork]:
    """The finalists, and the best candidate of random search within the limits."""
    images = winner.holdout_images
    for finalist in winner.finalists.finalists if winner.finalists else ():
        yield ComparedNetwork(
            name="winner" if finalist.outcome == "winner" else NAMES.get(finalist.strategy, finalist.strategy),
            architecture=finalist.architecture,
            inherited=accuracy(finalist.inherited_accuracy, images),
            alone=accuracy(finalist.trained_accuracy, images),
            latency_ms=finalist.latency_ms,
            macs=finalist.macs,
            outcome=finalist.outcome,
        )
    best = _best_of_random(files, winner)
    if best is not None:
        arch = files.space.architecture(best.architecture)
        yield ComparedNetwork(
            name="random search",
            architecture=best.architecture,
            inherited=accuracy(best.accuracy, images),
            latency_ms=measured_ms(files, winner.target).get(best.architecture),
            macs=int(files.counted["macs"].cost(arch)),
        )


def _best_of_random(files: RunFiles, winner: Winner) -> CandidateLine | None:
    """The best candidate of random search within the counted limits; under a latency limit, within its prediction."""
    cost = files.latency(winner) if "latency_ms" in winner.limits else None
    margin = 1 + (winner.latency_margin or 0.0)

    def allowed(line: CandidateLine) -> bool:
        arch = files.space.architecture(line.architecture)
        if cost is not None and cost.cost(arch) * margin > winner.limits["latency_ms"]:
            return False
        counted = {name: most for name, most in winner.limits.items() if name in files.counted}
        return all(files.counted[name].cost(arch) <= most for name, most in counted.items())

    lines = [line for line in files.candidates if line.strategy == RANDOM and allowed(line)]
    return max(lines, key=lambda line: line.accuracy, default=None)


def measured_ms(files: RunFiles, target: str | None) -> Mapping[Choices, float]:
    """The lowest latency that searches have measured of each network on a target."""
    measured: dict[Choices, float] = {}
    for line in files.measured:
        if line.target == target:
            measured[line.architecture] = min(line.latency_ms, measured.get(line.architecture, line.latency_ms))
    return measured


def _exported(files: RunFiles, budget: str) -> tuple[Exported, ...]:
    export = files.exports(budget)
    return () if export is None else tuple(_exported_files(export[1]))


def _exported_files(manifest: Manifest) -> Iterator[Exported]:
    for name, model in manifest.models.items():
        yield Exported(
            file=name,
            precision=model.precision,
            bytes=manifest.files[name].bytes,
            measured_ms=model.measured_latency_ms,
            holdout=accuracy(model.holdout_accuracy, manifest.holdout_images),
        )
    for name, engine in manifest.engines.items():
        known = engine.holdout_accuracy
        yield Exported(
            file=name,
            precision=engine.precision,
            bytes=manifest.files[name].bytes,
            measured_ms=engine.measured_latency_ms,
            holdout=None if known is None else accuracy(known, manifest.holdout_images),
        )
