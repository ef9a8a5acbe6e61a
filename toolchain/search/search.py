"""`nastool search`: score candidates by evolution, measure the best, and return one that fits, for each budget.

Resume is replay: the random numbers of generation g are drawn from (seed, g) and known scores come from the journal, so
a killed search ends as if it had not been killed. Scores do not depend on the limits, so searches for other budgets on
the same supernet share the journal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from toolchain.config import Config
from toolchain.errors import BudgetInfeasible
from toolchain.measuring.from_config import measurement_plan
from toolchain.measuring.network import Measurement, measure_network
from toolchain.nets.supernet import Supernet
from toolchain.parallel.collectives import from_first
from toolchain.parallel.ranks import rank
from toolchain.progress import Progress
from toolchain.search.candidate_timing import Measure, cached
from toolchain.search.distributed_evaluator import DistributedEvaluator
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.finalists.decide import decide, selector
from toolchain.search.generations import Scoring, journal_candidates
from toolchain.search.journal import Journal, architecture_of, open_journal
from toolchain.search.measured import MeasuredLine
from toolchain.search.partial_scores import PartialScores
from toolchain.search.per_budget import BudgetResult, Search, SearchSettings, search_budgets
from toolchain.search.plan import SearchPlan
from toolchain.search.race import Race
from toolchain.search.results import Front, count_evaluations, find_front, winner_of, write_front, write_winner
from toolchain.search.scores import CandidateLine, require_flags
from toolchain.search.scores_fingerprint import scores_fingerprint
from toolchain.search.strategies import RANDOM, Scored
from toolchain.search.trained_range import outside_trained_range
from toolchain.search.verify import fitting
from toolchain.search.winner import Winner
from toolchain.spaces.core import Architecture
from toolchain.training.data import Data
from toolchain.training.job import Job
from toolchain.training.stored_fingerprint import StoredFingerprint
from toolchain.training.torch_setup import scoring_threads
from toolchain.training.trained_supernet import load_trained
from toolchain.units import first_of


@dataclass(frozen=True)
class SearchResult:
    """The winner of each budget, the front over several budgets, and why budgets have no winner."""

    winners: dict[str, Winner]
    front: Front | None
    unmet: tuple[str, ...]

    @property
    def best(self) -> Winner:
        """The winner of the last budget that has one."""
        return next(reversed(self.winners.values()))


def search(job: Job, plan: SearchPlan) -> SearchResult:
    """Search the space on the supernet of the run, for one budget after the other.

    Raises:
        MissingStage, BadCheckpoint, BadDocument: the run has no supernet or no journal that fits the configuration.
        BudgetInfeasible: no candidate measures within the latency limit of any budget.
    """
    config, run = job.config, job.run
    trained = load_trained(job)
    supernet = trained.supernet
    _warn(plan, job.progress)
    if outside := outside_trained_range(trained, job.space, [named.budget for named, _ in plan.budgets]):
        job.progress.say(outside)
    fingerprint = scores_fingerprint(config, job.data, run).stored()
    journal = _open_candidates(job, fingerprint)
    partial_scores = PartialScores(run.partial_scores(rank()), fingerprint | {"threads": scoring_threads(config)})
    scoring = Scoring(
        seed=config.seed,
        journal=journal,
        evaluate=DistributedEvaluator(_evaluator(config, supernet, job.data, partial_scores)),
        progress=job.progress,
        race_top=config.search.top_k if config.search.race else None,
        score=config.search.score,
    )
    measure = _measure(job, plan)
    results: Sequence[BudgetResult] = search_budgets(Search(job.space, _settings(config), scoring), plan, measure)
    if config.search.finalists:
        results = decide(results, selector(job, plan, scoring), measure)
    partial_scores.remove()
    return _finish(job, plan, results, journal_candidates(journal, job.space, config.search.score))


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


def _settings(config: Config) -> SearchSettings:
    numbers = config.search
    return SearchSettings(
        numbers.population, numbers.generations, numbers.top_k, numbers.mutation, numbers.random_search
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
    """Times whole networks; those measured on this target before are not measured again. None if `plan` says why."""
    target, space = plan.ready, job.space
    if plan.unmeasured or target is None:
        return None
    rounds = measurement_plan(job.config)
    journal = open_journal(job.run.measured, {"space_digest": space.digest}, MeasuredLine, space)
    known = {
        (architecture_of(line, space), line.time): Measurement(
            line.latency_ms, line.upper_ms, line.unstable, line.anchor_ms
        )
        for line in journal.lines
        if line.target == plan.target.id and line.upper_ms is not None
    }

    def measure(arch: Architecture, time: int) -> Measurement:
        # only the first of several processes measures, while the others wait
        seeded = replace(rounds, seed=rounds.seed + time)
        return from_first(lambda: measure_network(space, arch, target, seeded, job.config.profile.db, job.progress))

    def keep(arch: Architecture, time: int, measurement: Measurement) -> None:
        journal.append(MeasuredLine(architecture=arch.choices, time=time, **vars(measurement), target=plan.target.id))

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
    unmet = tuple(result.unmet for result in results if result.verified is None)
    if not winners:
        raise BudgetInfeasible("; ".join(unmet))
    if len(plan.budgets) == 1:
        return SearchResult(winners, None, unmet)
    front = find_front(plan.varied, scored, winners)
    if rank() == 0:
        write_front(job.run, front, plan.varied, scored)
    return SearchResult(winners, front, unmet)


def _compare_with_random_search(result: BudgetResult, scored: Sequence[Scored], progress: Progress) -> None:
    """Say if random search, of this or an earlier command, scored a better candidate than the winner of evolution.

    docs/decisions/0041 says why it does not win.
    """
    assert result.verified is not None
    winner = result.verified.winner.scored
    best = next(iter(fitting(result.named.budget, [each for each in scored if each.strategy == RANDOM])), None)
    if best is not None and best.score > winner.score:
        progress.say(
            f"random search scored {best.score_text} under {result.named.budget}, better than the winner of evolution "
            f"({winner.score_text}): {best.architecture}. Increase --generations, or retrain it with --arch"
        )
