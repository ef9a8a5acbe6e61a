"""`nastool search`: score candidates by evolution, measure the best, and return one that fits, for each budget.

Resume is replay: the random numbers of generation g are drawn from (seed, g) and known scores come from the journal, so
a killed search ends as if it had not been killed. Scores do not depend on the limits, so searches for other budgets on
the same supernet share the journal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from toolchain.config import Config
from toolchain.errors import BadConfig, BudgetInfeasible
from toolchain.measuring.from_config import measurement_plan
from toolchain.measuring.network import Measurement, measure_network
from toolchain.measuring.target import ReadyTarget
from toolchain.nets.supernet import Supernet
from toolchain.parallel.collectives import from_first
from toolchain.parallel.ranks import rank
from toolchain.progress import Progress
from toolchain.search.candidate_timing import Measure, cached
from toolchain.search.distributed_evaluator import DistributedEvaluator
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.finalists.decide import decide, selector
from toolchain.search.front import Front, FrontEntry, find_front
from toolchain.search.generations import Scoring, journal_candidates
from toolchain.search.journal import Journal, architecture_of, open_journal
from toolchain.search.measured import MeasuredLine
from toolchain.search.partial_scores import PartialScores
from toolchain.search.per_budget import BudgetResult, Search, SearchSettings, search_plans
from toolchain.search.plan import SearchPlan
from toolchain.search.preference import LargestOfTied
from toolchain.search.race import Race
from toolchain.search.random_select import RandomSelection
from toolchain.search.results import count_evaluations, winner_of, write_front, write_winner
from toolchain.search.scores import CandidateLine, require_flags
from toolchain.search.scores_fingerprint import scores_fingerprint
from toolchain.search.shared_limit import SharedLimit
from toolchain.search.strategies import RANDOM, Scored, best_first
from toolchain.search.trained_range import outside_trained_range
from toolchain.search.verify import within_budget
from toolchain.search.winner import Winner
from toolchain.spaces.core import Architecture
from toolchain.training.data import Data
from toolchain.training.job import Job
from toolchain.training.learned import learned_networks
from toolchain.training.stored_fingerprint import StoredFingerprint
from toolchain.training.torch_setup import scoring_threads
from toolchain.training.trained_supernet import TrainedSupernet, load_trained
from toolchain.units import first_of


@dataclass(frozen=True)
class SearchResult:
    """The winner of each budget, the front over several budgets, and why budgets have no winner.

    `alternatives` are all candidates that no other beats by accuracy and latency (MACs where it is unknown), and
    `results` the candidates of each budget by strategy.
    """

    winners: dict[str, Winner]
    front: Front | None
    unmet: tuple[str, ...]
    alternatives: tuple[FrontEntry, ...] = ()
    results: tuple[BudgetResult, ...] = ()

    @property
    def best(self) -> Winner:
        """The winner of the last budget that has one."""
        return next(reversed(self.winners.values()))


def search(job: Job, *plans: SearchPlan) -> SearchResult:
    """Search the space on the supernet of the run, for one budget after the other.

    Args:
        plans: one, or one for each device.

    Raises:
        MissingStage, BadCheckpoint, BadDocument: the run has no supernet or no journal that fits the configuration.
        BudgetInfeasible: no candidate measures within the latency limit of any budget.
    """
    config, run = job.config, job.run
    trained = load_trained(job)
    budgets = [named.budget for plan in plans for named, _ in plan.budgets]
    for plan in plans:
        _warn(plan, job.progress)
    if outside := outside_trained_range(trained, job.space, budgets):
        job.progress.say(outside)
    fingerprint = scores_fingerprint(config, job.data, run).stored()
    partial_scores = PartialScores(run.partial_scores(rank()), fingerprint | {"threads": scoring_threads(config)})
    evaluator = _evaluator(config, trained.supernet, job.data, partial_scores)
    scoring = _scoring(job, _open_candidates(job, fingerprint), evaluator)
    measures = [_measure(job, plan) for plan in plans]
    tied = LargestOfTied(plans[0].costs.named("macs"), len(job.data.holdout)) if config.search.ties == "macs" else None
    proposals = Search(job.space, _settings(config), scoring, _learned(job, trained), tied or best_first)
    searched = search_plans(proposals, list(zip(plans, measures, strict=True)), _others(job, plans))
    if tied:
        _say_ties(job.progress, tied, [result for own in searched for result in own])
    results = [
        _completed(job, plan, scoring, own, measure)
        for plan, own, measure in zip(plans, searched, measures, strict=True)
    ]
    partial_scores.remove()
    scored = journal_candidates(scoring.journal, job.space, config.search.score)
    return _together([_finish(job, plan, own, scored) for plan, own in zip(plans, results, strict=True)])


def _learned(job: Job, trained: TrainedSupernet) -> tuple[Architecture, ...]:
    """The networks of the learned distribution that the configuration asks for.

    Raises:
        BadConfig: the supernet was trained without architecture parameters.
    """
    count = job.config.search.learned
    if not count:
        return ()
    if trained.distribution is None:
        raise BadConfig(
            "--learned needs a supernet that was trained with architecture parameters, and this one was not. Train it "
            "with --strategy darts, gumbel, two-path or policy, or leave out --learned"
        )
    return tuple(learned_networks(job.space, trained.distribution, count, job.config.seed))


def _completed(
    job: Job, plan: SearchPlan, scoring: Scoring, results: Sequence[BudgetResult], measure: Measure | None
) -> Sequence[BudgetResult]:
    """The results of a plan with its finalists and its random selection, as configured."""
    settings = job.config.search
    selects = selector(job, plan, scoring) if settings.finalists else None
    if selects:
        results = decide(results, selects, measure, job)
    if not settings.random_select:
        return results
    selection = RandomSelection(
        settings.random_select,
        plan.costs,
        replace(scoring, race_top=None),
        selects.train if selects else None,
        selects.settings.epochs if selects else None,
    )
    return [
        replace(result, random_select=selection.select(feasible))
        for result, (_, feasible) in zip(results, plan.budgets, strict=True)
    ]


def _scoring(job: Job, journal: Journal[CandidateLine], evaluator: Evaluator) -> Scoring:
    settings = job.config.search
    return Scoring(
        seed=job.config.seed,
        journal=journal,
        evaluate=DistributedEvaluator(evaluator),
        progress=job.progress,
        race_top=settings.top_k if settings.race else None,
        score=settings.score,
        tracker=job.tracker,
    )


def _open_candidates(job: Job, fingerprint: StoredFingerprint) -> Journal[CandidateLine]:
    if not job.config.search.race:
        return open_journal(job.run.candidates, fingerprint, CandidateLine, job.space)
    journal = open_journal(job.run.raced, fingerprint, CandidateLine, job.space)
    require_flags(journal, len(job.data.holdout))
    return journal


def _evaluator(config: Config, supernet: Supernet, data: Data, partial_scores: PartialScores) -> Evaluator:
    settings = config.search
    scoring = ScoringSettings(settings.bn_images, settings.batch, config.seed, config.workers, scoring_threads(config))
    return Evaluator(supernet, data, scoring, Race(settings.race_error) if settings.race else None, partial_scores)


def _say_ties(progress: Progress, tied: LargestOfTied, results: Sequence[BudgetResult]) -> None:
    """Say for each winner among how many candidates MACs decided."""
    for result in results:
        within = within_budget(result.named.budget, result.verified.scored) if result.verified else []
        if within:
            progress.say(f"{result.named.budget}: {tied.statement(within)}")


def _settings(config: Config) -> SearchSettings:
    numbers = config.search
    return SearchSettings(
        numbers.population,
        numbers.generations,
        numbers.top_k,
        numbers.mutation,
        numbers.random_search and not numbers.learned,
    )


def _warn(plan: SearchPlan, progress: Progress) -> None:
    """Say before the search what the user should know of its latencies."""
    latency = plan.costs.latency
    if not latency:
        return
    if plan.unmeasured:
        label = "ESTIMATE: " if plan.target.estimate else ""
        progress.say(f"{label}no winner is measured: {plan.unmeasured}")
    if unstable := latency.unstable:
        named = first_of(unstable)
        progress.say(f"{len(unstable)} records of the latency table are unstable, run nastool profile again: {named}")


def _measure(job: Job, plan: SearchPlan) -> Measure | None:
    """Times whole networks on the device of `plan`; None if `plan` says why it cannot."""
    return None if plan.unmeasured or plan.ready is None else _measure_on(job, plan.ready)


def _others(job: Job, plans: Sequence[SearchPlan]) -> list[SharedLimit]:
    """The limits of the other devices of a shared budget, which is the only plan."""
    return [
        SharedLimit(device.limit, device.model, _measure_on(job, device.ready))
        for plan in plans
        for device in plan.shared
    ]


def _measure_on(job: Job, target: ReadyTarget) -> Measure:
    """Times whole networks; those measured on this target before are not measured again."""
    space = job.space
    rounds = measurement_plan(job.config)
    journal = open_journal(job.run.measured, {"space_digest": space.digest}, MeasuredLine, space)
    known = {
        (architecture_of(line, space), line.time): Measurement(
            line.latency_ms, line.upper_ms, line.unstable, line.anchor_ms
        )
        for line in journal.lines
        if line.target == target.target.id and line.upper_ms is not None
    }

    def measure(arch: Architecture, time: int) -> Measurement:
        # only the first of several processes measures, while the others wait
        seeded = replace(rounds, seed=rounds.seed + time)
        return from_first(lambda: measure_network(space, arch, target, seeded, job.config.profile.db, job.progress))

    def keep(arch: Architecture, time: int, measurement: Measurement) -> None:
        journal.append(MeasuredLine(architecture=arch.choices, time=time, **vars(measurement), target=target.target.id))

    return cached(known, measure, keep)


def _finish(job: Job, plan: SearchPlan, results: Sequence[BudgetResult], scored: Sequence[Scored]) -> SearchResult:
    """Write the files of all winners."""
    winners: dict[str, Winner] = {}
    for result in results:
        if result.verified is None:
            continue
        winner = winner_of(job.space, plan, job.data, result, count_evaluations(result.named, scored))
        winners[result.named.name] = winner
        _compare_with_random_search(result, scored, job.progress)
        if rank() == 0:
            write_winner(job, plan, result, winner)
            _track(job, result.named.name, winner)
    on = f"{plan.device}: " if plan.device else ""
    unmet = tuple(f"{on}{result.unmet}" for result in results if result.verified is None)
    by = plan.costs.latency.predicted if plan.costs.latency else plan.costs.named("macs")
    alternatives = find_front(by, scored, {}).front
    if len(plan.budgets) == 1 or not winners:
        return SearchResult(winners, None, unmet, alternatives, tuple(results))
    front = find_front(plan.varied, scored, winners)
    if rank() == 0:
        write_front(job, plan, front, scored)
    return SearchResult(winners, front, unmet, alternatives, tuple(results))


def _track(job: Job, budget: str, winner: Winner) -> None:
    figures = ("holdout_accuracy", "latency_ms", "measured_latency_ms", "macs", "params", "bitops", "weight_bits")
    job.tracker.results(f"winner/{budget}", {name: getattr(winner, name) for name in figures})
    for name in ("best.json", "architecture.svg"):
        job.tracker.keep(job.run.budget(budget) / name)


def _together(results: Sequence[SearchResult]) -> SearchResult:
    """The results of all devices.

    Raises:
        BudgetInfeasible: none has a winner.
    """
    winners = {name: winner for result in results for name, winner in result.winners.items()}
    unmet = tuple(text for result in results for text in result.unmet)
    if not winners:
        raise BudgetInfeasible("; ".join(unmet))
    by_budget = tuple(of_budget for result in results for of_budget in result.results)
    return SearchResult(winners, results[0].front, unmet, results[0].alternatives, by_budget)


def _compare_with_random_search(result: BudgetResult, scored: Sequence[Scored], progress: Progress) -> None:
    """Say if random search, of this or an earlier command, scored a better candidate than the winner of evolution.

    docs/decisions/0041 says why it does not win.
    """
    assert result.verified is not None
    winner = result.verified.winner.scored
    best = next(
        iter(within_budget(result.named.budget, [candidate for candidate in scored if candidate.strategy == RANDOM])),
        None,
    )
    if best is not None and best.score > winner.score:
        progress.say(
            f"random search scored {best.score_text} under {result.named.budget}, better than the winner of evolution "
            f"({winner.score_text}): {best.architecture}. Increase --generations, or retrain it with --arch"
        )
