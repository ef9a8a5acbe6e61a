"""`nastool search`: find the most accurate architecture within limits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli import console, options
from cli.configured import configured
from cli.flag_groups import LIMITS
from cli.invocation import Invocation, with_fitted_space, with_recipe
from cli.processes import Nproc, in_processes
from cli.seeds import CommandAnswer, Seeds, run_seeds

if TYPE_CHECKING:
    from pathlib import Path

    from toolchain.config import Config
    from toolchain.costs.core import TableCost
    from toolchain.runs import Run
    from toolchain.search.plan import SearchPlan
    from toolchain.search.search import SearchResult
    from toolchain.search.winner import Latencies, SharedLatencies, Winner


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
    from toolchain.parallel.collectives import joined
    from toolchain.runs import open_run
    from toolchain.search.fleet import plan_fleet
    from toolchain.search.search import search as run_search
    from toolchain.tracking.tracked import tracked
    from toolchain.training.data import configured_data
    from toolchain.training.job import Job
    from toolchain.training.precision import compute_device
    from toolchain.training.torch_setup import prepare_torch

    if in_processes(nproc):
        return None
    prepare_torch(config)
    space = configured_space(config)
    plans = plan_fleet(config, space)
    with console.progress() as bars:
        data = configured_data(config, space, bars, *(("retrain",) if config.search.finalists else ()))
    with (
        joined(compute_device(config.train.device)),
        open_run(config, stage="search") as folder,
        console.progress() as bars,
        tracked(config, folder, bars, "search") as trackers,
    ):
        searched = run_search(Job(config, space, data, folder, bars, trackers=trackers), *plans)
    _say_passed_over(searched)
    return _Done(searched, plans, folder, space.quantized, len(data.holdout))


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
                f"but measured {_measured(candidate)} ({name})"
            )


def _answer(done: _Done) -> None:
    searched, plans = done.searched, done.plans
    if done.several:
        varied = plans[0].varied if len(plans) == 1 else plans[0].costs.named("macs")
        _answer_winners(searched.winners, varied, done.images)
    else:
        _answer_winner(searched.best, plans[0], done.folder, done.low_bit, done.images)
    for name, winner in searched.winners.items():
        _answer_finalists(winner, f" of {name}" if done.several else "")
        _answer_random_select(winner, f" of {name}" if done.several else "")


def _answer_winner(winner: "Winner", plan: "SearchPlan", folder: "Run", low_bit: bool, images: int) -> None:
    from toolchain.training.accuracy_interval import accuracy_text

    (named, _) = plan.budgets[0]
    arch = " ".join(winner.architecture)
    values = winner.model_dump()
    counts = {c.name: f"{c.exact(values[c.name])} ({c.format(values[c.name])})" for c in plan.costs.counted}
    limits = (f"{limit.cost.name} <= {limit.cost.exact(limit.most)}" for limit in named.budget.limits)
    console.answer_facts(
        "winner",
        {
            "architecture": arch,
            "hold-out accuracy": f"{accuracy_text(winner.holdout_accuracy, images)}, inherited weights",
            **({} if winner.holdout_loss is None else {"hold-out loss": f"{winner.holdout_loss:.4f}"}),
            **counts,
            f"latency, {'estimate' if winner.estimate else 'predicted'}": _predicted(winner),
            f"latency, measured{' in int8 containers' if low_bit else ''}": _measured(winner),
            **{
                f"on {device}": f"{_predicted(there)}; measured {_measured(there)}"
                for device, there in winner.elsewhere.items()
            },
            "limits": ", ".join(limits) or "none",
            "evaluations": winner.evaluations,
            "files": f"{folder.budget(named.name)}: best.json and pictures",
        },
    )
    for cost in plan.costs.all if plan.target.estimate else plan.costs.counted:
        console.say(f"{cost.name}: {cost.convention}")
    if winner.calibration and not winner.estimate:  # the convention of an estimate says it all
        console.say(f"latency_ms: {winner.calibration.in_words}")


def _answer_winners(winners: "dict[str, Winner]", varied: "TableCost", images: int) -> None:
    from toolchain.training.accuracy_interval import accuracy_text

    rows = [
        (
            name,
            accuracy_text(winner.holdout_accuracy, images),
            varied.format(winner.model_dump()[varied.name]),
            _ms(winner.latency_ms),
            _ms(winner.latency_upper_ms),
            _measured(winner),
        )
        for name, winner in winners.items()
    ]
    predicted = "estimate" if any(winner.estimate for winner in winners.values()) else "predicted"
    columns = ("budget", "hold-out", varied.name, predicted, "at most", "measured")
    console.answer_table(f"winners, with inherited weights ({varied.name}: {varied.convention})", columns, rows)
    architectures = {name: " ".join(winner.architecture) for name, winner in winners.items()}
    console.answer_facts("their architectures", architectures)


def _answer_finalists(winner: "Winner", of_budget: str) -> None:
    """The finalists as a table, and the statement about the winner."""
    report = winner.finalists
    if report is None:
        return
    rows = [
        (
            str(number),
            finalist.outcome,
            f"{finalist.trained_accuracy:.2%}",
            str(finalist.trainings),
            f"{finalist.inherited_accuracy:.2%}",
            _ms(finalist.latency_ms),
            finalist.strategy,
        )
        for number, finalist in enumerate(report.finalists, 1)
    ]
    columns = ("", "outcome", "alone", "trainings", "inherited", "latency", "proposed by")
    console.answer_table(f"finalists{of_budget}, trained alone for {report.epochs:g} epochs", columns, rows)
    architectures = {str(number): " ".join(network.architecture) for number, network in enumerate(report.finalists, 1)}
    console.answer_facts("their architectures", architectures)
    console.say(report.statement)
    if report.out_of_time:
        console.say("the time limit ended the trainings; increase --finalist-time for a surer choice")


def _answer_random_select(winner: "Winner", of_budget: str) -> None:
    """The networks that were drawn as a table, and their mean beside the winner."""
    report = winner.random_select
    if report is None:
        return
    rows = [
        (
            str(number),
            f"{network.inherited_accuracy:.2%}",
            "not trained" if network.trained_accuracy is None else f"{network.trained_accuracy:.2%}",
            f"{network.macs:,}",
            _ms(network.latency_ms),
        )
        for number, network in enumerate(report.networks, 1)
    ]
    columns = ("", "inherited", "alone", "MACs", "predicted")
    console.answer_table(f"random select{of_budget}: drawn uniformly within the limits", columns, rows)
    architectures = {str(number): " ".join(network.architecture) for number, network in enumerate(report.networks, 1)}
    console.answer_facts("their architectures", architectures)
    count = f"mean of {report.inherited.count} random networks (95 % interval)"
    console.say(f"{count}: {report.inherited.percent} inherited; the winner has {winner.holdout_accuracy:.2%}")
    if report.trained:
        console.say(f"{count}: {report.trained.percent} trained alone for {report.epochs:g} epochs")


def _predicted(winner: "Winner | SharedLatencies") -> str:
    if winner.latency_ms is None or winner.latency_margin is None:
        return "not measured: run nastool profile"
    if getattr(winner, "estimate", False):
        return _ms(winner.latency_ms)  # an estimate has no margin
    bound = f"at most {_ms(winner.latency_upper_ms)} with a margin of {winner.latency_margin:.1%}"
    return f"{_ms(winner.latency_ms)}, {bound}"


def _measured(candidate: "Latencies") -> str:
    if candidate.measured_latency_ms is None:
        return "not measured"
    unstable = f" (unstable: {candidate.measured_unstable})" if candidate.measured_unstable else ""
    upper = f"at most {_ms(candidate.measured_upper_ms)} by its rounds"
    return f"{_ms(candidate.measured_latency_ms)}, {upper}{unstable}"


def _ms(latency_ms: float | None) -> str:
    return "not measured" if latency_ms is None else f"{latency_ms:.3f} ms"
