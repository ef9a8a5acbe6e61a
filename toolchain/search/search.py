"""`nastool search`: score candidates by evolution, measure the best, return one that fits; once for each budget.

Resume is replay: generation g draws its random numbers from (seed, g) and scores come from the journal where it
has them, so a search that was killed ends as if it had not been. Scores do not depend on the limits, so searches
for other budgets on the same supernet share the journal.
"""

from dataclasses import dataclass, replace
from typing import Any

from exporters.manifest import sha256
from toolchain.config import Config
from toolchain.counting.feasible import FeasibleSet
from toolchain.errors import BadConfig, BudgetInfeasible
from toolchain.files import write_json
from toolchain.measuring.from_config import measurement_plan, resolve_target
from toolchain.measuring.network import Measurement, measure_network
from toolchain.measuring.plan import MeasurementPlan
from toolchain.parallel.collectives import from_first
from toolchain.parallel.ranks import rank
from toolchain.progress import Progress
from toolchain.runs import Run
from toolchain.search.budget import named_budgets
from toolchain.search.distributed_evaluator import DistributedEvaluator
from toolchain.search.evaluate import Evaluator
from toolchain.search.journal import open_journal
from toolchain.search.partial_scores import PartialScores
from toolchain.search.per_budget import Search, SearchPlan, search_budgets, why_unmeasured
from toolchain.search.race import Race
from toolchain.search.results import best_of, draw_search, write_front
from toolchain.search.strategies import Scored
from toolchain.search.verify import Measure, journalled
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Data
from toolchain.training.stages import load_supernet, scoring_threads

MOST_NAMED = 3  # unstable rows


@dataclass(frozen=True)
class Searched:
    """The winner of each budget as written to its best.json, and the front over several budgets."""

    winners: dict[str, dict[str, Any]]
    front: list[dict[str, Any]]
    unmet: tuple[str, ...]  # of each budget that nothing measures within, why

    @property
    def best(self) -> dict[str, Any]:
        """The winner of the last budget; where there is one, of that."""
        return next(reversed(self.winners.values()))


def plan_search(config: Config, space: SearchSpace) -> SearchPlan:
    """Read the limits, and make sure that something fits each budget.

    Raises:
        BadUnit, BadConfig, MissingLatency, BudgetInfeasible, UnknownDevice, BackendUnavailable: the search can't
            be done.
    """
    if config.profile.precision == "int8":
        raise BadConfig(
            "a search can't time int8 networks: one is quantized as a whole, with scales from its own images. "
            "Search in fp32 or fp16, and type nastool export --precision int8"
        )
    target, ready = resolve_target(config.profile)
    goals, costs = named_budgets(config.search, space, target, config.profile.db)
    feasible = tuple((goal, FeasibleSet(space, goal.budget)) for goal in goals)
    return SearchPlan(feasible, costs, target, why_unmeasured(space, target, bool(config.profile.target)), ready)


def search(config: Config, space: SearchSpace, plan: SearchPlan, data: Data, run: Run, progress: Progress) -> Searched:
    """Search `space` on the run's supernet, for one budget after the other.

    Raises:
        MissingStage, BadCheckpoint: no supernet or journal that fits the configuration.
        BudgetInfeasible: nothing that was scored measures within any budget's latency limit.
    """
    supernet = load_supernet(config, space, data, run, progress)
    wanted = config.search
    belongs = {
        "supernet_sha256": sha256(run.supernet),
        "data_digest": data.digest,
        "holdout_per_class": config.holdout_per_class,
        "bn_images": wanted.bn_images,
        "batch": wanted.batch,
        "seed": config.seed,
    }
    if wanted.race:
        belongs["race_error"] = wanted.race_error
    journal = open_journal(run.raced if wanted.race else run.candidates, belongs)
    threads = scoring_threads(config)
    partial_scores = PartialScores(run.partial_scores(rank()), belongs | {"threads": threads})
    race = Race(wanted.race_error) if wanted.race else None
    evaluator = Evaluator(
        supernet, data, wanted.bn_images, wanted.batch, config.seed, config.workers, threads, race, partial_scores
    )
    evaluate = DistributedEvaluator(evaluator)
    if plan.unmeasured and plan.costs.latency:
        marked = "ESTIMATE: " if plan.target.estimate else ""
        progress.say(f"{marked}no winner is measured: {plan.unmeasured}")
    if plan.costs.latency and (unstable := plan.costs.latency.unstable):
        named = ", ".join(unstable[:MOST_NAMED]) + (
            f" and {rest} more" if (rest := len(unstable) - MOST_NAMED) > 0 else ""
        )
        progress.say(f"{len(unstable)} rows of the latency table are unstable, type nastool profile again: {named}")
    searching = Search(space, wanted, config.seed, journal, evaluate, progress)
    measure = _measure(measurement_plan(config), config.profile.db, space, plan, run, progress)
    outcomes = search_budgets(searching, plan, measure)
    partial_scores.remove()
    winners: dict[str, dict[str, Any]] = {}
    scored: dict[Architecture, Scored] = {}
    for outcome in outcomes:
        scored |= {found.architecture: found for found in (*outcome.evolution, *outcome.baseline)}
        if outcome.verified is None:
            continue
        goal = outcome.goal
        best = best_of(space, goal, plan, outcome.verified)
        best |= {"data": data.name, "data_digest": data.digest}
        winners[goal.name] = best
        if rank() == 0:
            write_json(run.budget(goal.name) / "best.json", best)
            write_json(run.best, best)
            folder = run.budget(goal.name)
            draw_search(folder, space, outcome.evolution, outcome.baseline, goal.budget, plan.costs, best)
    unmet = tuple(outcome.unmet for outcome in outcomes if outcome.unmet)
    if not winners:
        raise BudgetInfeasible("; ".join(unmet))
    front = write_front(run.front, plan.varied, tuple(scored.values()), winners) if len(plan.goals) > 1 else []
    return Searched(winners, front, unmet)


def _measure(
    measurement: MeasurementPlan, db: str, space: SearchSpace, plan: SearchPlan, run: Run, progress: Progress
) -> Measure | None:
    """Whole networks, compiled and timed; what was measured on this target before is not measured again.

    None where nothing is to be timed; it is said why.
    """
    if plan.unmeasured:
        return None
    target = plan.measures
    assert target is not None
    journal = open_journal(run.measured, {"space_digest": space.digest})
    known = {
        (space.architecture(line["architecture"]), int(line["time"])): Measurement(
            float(line["latency_ms"]),
            float(line["upper_ms"]),
            line.get("unstable", ""),
            line.get("anchor_ms") or None,
        )
        for line in journal.lines
        if line["target"] == plan.target.id and "upper_ms" in line
    }

    def measure(arch: Architecture, time: int) -> Measurement:
        # of several processes one measures, while the others wait
        again = replace(measurement, seed=measurement.seed + time)
        return from_first(lambda: measure_network(space, arch, target, again, db, progress))

    def keep(arch: Architecture, time: int, found: Measurement) -> None:
        line = {"architecture": list(arch.choices), "time": time, **vars(found), "target": plan.target.id}
        journal.append(line)

    return journalled(known, measure, keep)
