"""`nastool search`: find the most accurate architecture within limits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli import console, options
from cli.configured import configured
from cli.flag_groups import LIMITS
from cli.invocation import Invocation, with_fitted_space, with_recipe
from cli.processes import Nproc, in_processes
from cli.search_tables import answer_finalists, answer_random_select, answer_winner, answer_winners, measured_text
from cli.seeds import CommandAnswer, Seeds, run_seeds
from cli.training_job import open_job

if TYPE_CHECKING:
    from pathlib import Path

    from toolchain.config import Config
    from toolchain.runs import Run
    from toolchain.search.plan import SearchPlan
    from toolchain.search.search import SearchResult
    from toolchain.search.winner import Winner


@configured("search")
def search(invocation: Invocation, seeds: Seeds = None, nproc: Nproc = None, json: options.Json = False) -> None:
    """Search by evolution for the most accurate network within hard limits.

    The winner is compiled and measured as a whole. Resumes from its journal when rerun, with the same result.
    """
    if seeds is not None:
        run_seeds(invocation, seeds, nproc, lambda of_seed: _answer_of(_search(of_seed, None)), json)
        return
    done = _search(invocation, nproc)
    if done is None:
        return
    answer = _answer_of(done)
    if json:
        console.answer_json(answer.document)
    else:
        _answer(done)
    _say_next(invocation, done)


@dataclass(frozen=True)
class _Done:
    """A finished search, and what its answer needs."""

    searched: "SearchResult"
    plans: "tuple[SearchPlan, ...]"
    folder: "Run"
    low_bit: bool
    images: int

    @property
    def several(self) -> bool:
        """Whether there are several budgets."""
        return sum(len(plan.budgets) for plan in self.plans) > 1


def _search(invocation: Invocation, nproc: int | None) -> _Done | None:
    """Search; None where other processes did."""
    from cli.early_checks import check_arguments, check_table

    config = with_recipe(with_fitted_space(invocation)).config
    _require_limit(config)
    check_arguments(config, of_run=True)
    check_table(config)
    from toolchain.nets.checked_space import configured_space
    from toolchain.search.fleet import plan_fleet
    from toolchain.search.search import search as run_search
    from toolchain.training.data import configured_data
    from toolchain.training.torch_setup import prepare_torch

    if in_processes(nproc):
        return None
    prepare_torch(config)
    space = configured_space(config)
    plans = plan_fleet(config, space)
    with console.progress() as bars:
        data = configured_data(config, space, bars, *(("retrain",) if config.search.finalists else ()))
    with open_job(config, space, data, "search", make=False) as job:
        searched = run_search(job, *plans)
    _say_passed_over(searched)
    return _Done(searched, plans, job.run, space.quantized, len(data.holdout))


def _answer_of(done: _Done | None) -> CommandAnswer:
    """The JSON answer, and what --seeds averages."""
    assert done is not None
    searched, folder = done.searched, done.folder
    winners = {name: _as_json(winner, folder.budget(name), done.images) for name, winner in searched.winners.items()}
    document = _several_as_json(winners, searched) if done.several else next(iter(winners.values()))
    values: dict[str, float] = {}
    for name, winner in searched.winners.items():
        of_budget = f" {name}" if done.several else ""
        values[f"holdout_accuracy{of_budget}"] = winner.holdout_accuracy
        if winner.random_select:
            values[f"random_select_accuracy{of_budget}"] = winner.random_select.inherited.mean
        if winner.measured_latency_ms is not None:
            values[f"measured_latency_ms{of_budget}"] = winner.measured_latency_ms
        if winner.macs is not None:
            values[f"macs{of_budget}"] = winner.macs
    return CommandAnswer(document, values, problem="; ".join(searched.unmet))


def _say_next(invocation: Invocation, done: _Done) -> None:
    """The front, and the next command.

    Raises:
        BudgetInfeasible: a budget has no winner.
    """
    from toolchain.errors import BudgetInfeasible

    searched, folder = done.searched, done.folder
    if searched.front:
        entries = searched.front.front
        console.say(f"{len(entries)} candidates on the accuracy-cost front: {folder.front} and its picture")
    if searched.unmet:
        raise BudgetInfeasible("; ".join(searched.unmet))
    named = len(folder.budgets) > 1  # which of them would be the last search's, and not always this one's
    for name in searched.winners:
        console.say(f"Next: {invocation.hint('retrain', *(('--budget', name) if named else ()))}")


def _require_limit(config: "Config") -> None:
    """A search without limits would return the largest network and replace the winner of the last search.

    Raises:
        BadConfig: neither a flag nor nastool.toml has a limit.
    """
    from toolchain.errors import BadConfig

    if not any(flag.value(config) for flag in LIMITS) and not config.search.learned:
        raise BadConfig("a search needs a limit. Give --latency, --macs, --params, --bitops or --weight-bits")


def _as_json(winner: "Winner", folder: "Path", images: int) -> dict[str, object]:
    from toolchain.training.accuracy_interval import interval_fields

    interval = interval_fields("holdout", winner.holdout_accuracy, images)
    return winner.model_dump(mode="json") | interval | {"folder": str(folder)}


def _several_as_json(winners: dict[str, dict[str, object]], searched: "SearchResult") -> dict[str, object]:
    return {
        "winners": winners,
        "front": [entry.as_json() for entry in searched.front.front] if searched.front else [],
        "unmet": list(searched.unmet),
    }


def _say_passed_over(searched: "SearchResult") -> None:
    """The candidates that scored better than the winner and measured over the budget."""
    for name, winner in searched.winners.items():
        for candidate in winner.passed_over:
            console.say(
                f"passed over: {' '.join(candidate.architecture)} scored {candidate.holdout_accuracy:.2%}, "
                f"but measured {measured_text(candidate)} ({name})"
            )


def _answer(done: _Done) -> None:
    searched, plans = done.searched, done.plans
    if done.several:
        varied = plans[0].varied if len(plans) == 1 else plans[0].costs.named("macs")
        answer_winners(searched.winners, varied, done.images)
    else:
        answer_winner(searched.best, plans[0], done.folder, done.low_bit, done.images)
    for name, winner in searched.winners.items():
        answer_finalists(winner, f" of {name}" if done.several else "")
        answer_random_select(winner, f" of {name}" if done.several else "")
