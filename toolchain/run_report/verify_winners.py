"""`--verify`: winners have the scores of the journal, their architectures' costs, and the latencies of the table."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from toolchain.costs.calibration import Calibration
from toolchain.costs.core import Budget, Limit, TableCost
from toolchain.run_report.budgets import latencies_under
from toolchain.run_report.comparison import EXACT, Comparison
from toolchain.run_report.run_files import Choices, RunFiles
from toolchain.search.budget import budget_name
from toolchain.search.finalists.report import Finalist
from toolchain.search.finalists.trainings import FinalistLine
from toolchain.search.preference import LargestOfTied, Preference, preferred_to
from toolchain.search.scores import CandidateLine
from toolchain.search.strategies import EVOLUTION, Scored, best_first
from toolchain.search.verify import MAX_MISSES
from toolchain.search.winner import Latencies, Winner
from toolchain.spaces.core import SearchSpace

COUNTED = ("macs", "params", "bitops", "weight_bits")


def verify_winners(files: RunFiles, compared: Comparison) -> None:
    """Compare best.json of each budget with what its figures come from."""
    for name, winner in files.winners.items():
        where = f"search/{name}/best.json"
        _verify_costs(files, winner, where, compared)
        _verify_scores(files, winner, where, compared)
        _verify_latency(files, winner, where, compared)
        _verify_measured(files, winner.architecture, winner, winner.target, where, compared)
        for device, there in winner.elsewhere.items():
            at = f"{where}: elsewhere.{device}"
            _verify_measured(files, winner.architecture, there, there.target, at, compared)
        _verify_limits(files, name, winner, compared)
        _verify_finalists(files, winner, where, compared)
    if files.last_winner is not None and files.winners:
        compared.among("search/best.json", files.last_winner, files.winners.values(), "no folder of a budget")
        _verify_best(files, files.last_winner, compared)


def _verify_costs(files: RunFiles, winner: Winner, where: str, compared: Comparison) -> None:
    arch = files.space.architecture(winner.architecture)
    for name in COUNTED:
        stored = winner.cost(name)
        if stored is not None:
            compared.same(f"{where}: {name}", stored, int(files.counted[name].cost(arch)))
            compared.same(f"{where}: conventions.{name}", winner.conventions.get(name), files.counted[name].convention)


def _verify_scores(files: RunFiles, winner: Winner, where: str, compared: Comparison) -> None:
    lines = [line for line in files.candidates if line.architecture == winner.architecture]
    compared.among(f"{where}: holdout_accuracy", winner.holdout_accuracy, [line.accuracy for line in lines], "journal")
    if winner.holdout_loss is not None:
        compared.among(f"{where}: holdout_loss", winner.holdout_loss, [line.loss for line in lines], "the journal")
    compared.whole(f"{where}: holdout_accuracy", winner.holdout_accuracy, winner.holdout_images)
    scored = len({line.architecture for line in files.candidates})
    compared.holds(
        f"{where}: evaluations is {winner.evaluations}, and only {scored} architectures are scored",
        winner.evaluations <= scored,
    )
    for number, candidate in enumerate(winner.passed_over):
        at = f"{where}: passed_over.{number}"
        known = [line.accuracy for line in files.candidates if line.architecture == candidate.architecture]
        compared.among(f"{at}.holdout_accuracy", candidate.holdout_accuracy, known, "the journal")
        _verify_measured(files, candidate.architecture, candidate, winner.target, at, compared)


def _verify_latency(files: RunFiles, winner: Winner, where: str, compared: Comparison) -> None:
    """The prediction is the calibrated sum of the table's records, and its bound has the margin of the calibration."""
    calibration = winner.calibration
    if winner.latency_ms is None or calibration is None:
        return
    fields = calibration.model_dump(exclude={"in_words"})
    compared.same(f"{where}: calibration.in_words", calibration.in_words, str(Calibration(**fields)))
    compared.same(f"{where}: latency_margin", winner.latency_margin, calibration.margin)
    bound = winner.latency_ms * (1 + calibration.margin)
    compared.same(f"{where}: latency_upper_ms", winner.latency_upper_ms, bound, EXACT)
    cost = files.latency(winner)
    if cost is None:
        compared.notes.append(f"the prediction in {where}, since {files.why_not_predicted(winner)}")
        return
    predicted = cost.cost(files.space.architecture(winner.architecture))
    compared.same(f"{where}: latency_ms", winner.latency_ms, predicted, EXACT)


def _verify_measured(
    files: RunFiles, arch: Choices, stored: Latencies, target: str | None, where: str, compared: Comparison
) -> None:
    """What was measured is in the journal of measurements."""
    if stored.measured_latency_ms is None:
        return
    lines = [line for line in files.measured if line.architecture == arch and line.target == target]
    known = [(line.latency_ms, line.upper_ms, line.unstable, line.anchor_ms) for line in lines]
    measured = (
        stored.measured_latency_ms,
        stored.measured_upper_ms,
        stored.measured_unstable,
        stored.measured_anchor_ms,
    )
    compared.among(f"{where}: the measured latency", measured, known, "search/measured.jsonl")


def _verify_limits(files: RunFiles, name: str, winner: Winner, compared: Comparison) -> None:
    """The winner is within its limits, which its folder is named after."""
    where = f"search/{name}/best.json"
    units = {cost.name: cost.unit for cost in files.counted.values()} | {"latency_ms": "ms"}
    if winner.device is None and set(winner.limits) <= set(units):
        limits = (Limit(TableCost(cost, units[cost], 0.0, ()), most) for cost, most in winner.limits.items())
        compared.same(f"{where}: the budget of its limits", budget_name(Budget(tuple(limits))), name)
    for cost, most in winner.limits.items():
        there = latencies_under(winner, cost)
        if there is not None:
            value = there.measured_upper_ms if there.measured_latency_ms else there.latency_upper_ms
        else:
            value = winner.cost(cost) if cost in COUNTED else None
        if value is not None:
            compared.holds(f"{where}: {cost} of the winner is {value:g}, over its limit {most:g}", value <= most)


def _verify_best(files: RunFiles, winner: Winner, compared: Comparison) -> None:
    """No candidate of evolution within the limits is preferred to the winner, but those that measured over them.

    Only of the last search: later ones score more candidates. Not of one for several devices: what a candidate takes on
    the others is not in the run.
    """
    if winner.finalists is not None or winner.elsewhere or len(winner.passed_over) >= MAX_MISSES:
        return
    cost = files.latency(winner) if "latency_ms" in winner.limits else None
    if cost is None and "latency_ms" in winner.limits:
        return
    over = {candidate.architecture for candidate in winner.passed_over}
    within = [
        _scored(files.space, line)
        for line in files.candidates
        if line.strategy == EVOLUTION and _is_within(files, winner, cost, line)
    ]
    for candidate in _preferred(files, winner, within):
        choices = candidate.architecture.choices
        compared.holds(
            f"search/best.json: {' '.join(choices)} is within the limits and preferred to the winner", choices in over
        )


def _preferred(files: RunFiles, winner: Winner, scored: Sequence[Scored]) -> list[Scored]:
    """The candidates that the search tries before the winner."""
    arch = files.space.architecture(winner.architecture)
    own = Scored(arch, winner.holdout_accuracy, 0, "", loss=winner.holdout_loss)
    others = [candidate for candidate in scored if candidate.architecture != arch]
    prefer: Preference = best_first
    if files.config.search.ties == "macs" and winner.holdout_images is not None:
        prefer = LargestOfTied(files.counted["macs"], winner.holdout_images)
    return preferred_to(prefer, own, others)


def _scored(space: SearchSpace, line: CandidateLine) -> Scored:
    arch = space.architecture(line.architecture)
    return Scored(arch, line.accuracy, line.generation, line.origin, line.images is None, line.strategy, line.loss)


def _is_within(files: RunFiles, winner: Winner, latency: TableCost | None, line: CandidateLine) -> bool:
    arch = files.space.architecture(line.architecture)
    for name, most in winner.limits.items():
        if name in files.counted and files.counted[name].cost(arch) > most:
            return False
    if latency is None:
        return True
    return latency.cost(arch) * (1 + (winner.latency_margin or 0)) <= winner.limits["latency_ms"]


def _verify_finalists(files: RunFiles, winner: Winner, where: str, compared: Comparison) -> None:
    report = winner.finalists
    if report is None:
        return
    chosen = [finalist.architecture for finalist in report.finalists if finalist.outcome == "winner"]
    compared.same(f"{where}: the finalist that won", chosen, [winner.architecture])
    trained = list(_trainings(files))
    for number, finalist in enumerate(report.finalists):
        at = f"{where}: finalists.{number}"
        arch = files.space.architecture(finalist.architecture)
        compared.same(f"{at}.macs", finalist.macs, int(files.counted["macs"].cost(arch)))
        known = [line.accuracy for line in files.candidates if line.architecture == finalist.architecture]
        compared.among(f"{at}.inherited_accuracy", finalist.inherited_accuracy, known, "the journal")
        means = [mean for journal in trained for mean in _mean(journal, finalist)]
        close = [mean for mean in means if abs(mean - finalist.trained_accuracy) < EXACT]
        compared.holds(
            f"{at}.trained_accuracy is {finalist.trained_accuracy}, and its trainings give {means}", bool(close)
        )


def _trainings(files: RunFiles) -> Iterator[Mapping[Choices, list[FinalistLine]]]:
    """The trainings of each setting, by architecture."""
    for path in sorted(files.run.finalists.glob("*/trainings.jsonl")):
        lines: dict[Choices, list[FinalistLine]] = {}
        for line in files.lines(path, FinalistLine):
            lines.setdefault(line.architecture, []).append(line)
        yield lines


def _mean(journal: Mapping[Choices, list[FinalistLine]], finalist: Finalist) -> Iterator[float]:
    """The accuracy of a finalist over its trainings, of one setting; nothing if that has not as many."""
    lines = sorted(journal.get(finalist.architecture, []), key=lambda line: line.repeat)[: finalist.trainings]
    if len(lines) == finalist.trainings:
        yield float(np.mean([line.training.correct.mean() for line in lines]))
