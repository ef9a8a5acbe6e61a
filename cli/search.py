"""`nastool search`: find the most accurate architecture within limits."""

from typing import TYPE_CHECKING

from cli import console, options
from cli.flags import LIMITS

if TYPE_CHECKING:
    from pathlib import Path

    from toolchain.config import Config
    from toolchain.costs.core import TableCost
    from toolchain.runs import Run
    from toolchain.search.plan import SearchPlan
    from toolchain.search.search import SearchResult
    from toolchain.search.winner import Latencies, Winner


@options.configured("search")
def search(invocation: options.Invocation, nproc: options.Nproc = None, json: options.Json = False) -> None:
    """Search by evolution for the most accurate network within hard limits.

    The winner is compiled and measured as a whole. Resumes from its journal when rerun, with the same result.
    """
    from toolchain.errors import BudgetInfeasible
    from toolchain.nets.checked_space import configured_space
    from toolchain.parallel.collectives import joined
    from toolchain.runs import open_run
    from toolchain.search.plan import plan_search
    from toolchain.search.search import search as run_search
    from toolchain.training.data import configured_data
    from toolchain.training.job import Job
    from toolchain.training.precision import compute_device
    from toolchain.training.torch_setup import prepare_torch

    config = invocation.config
    _require_limit(config)
    if options.in_processes(nproc):
        return
    prepare_torch(config)
    space = configured_space(config)
    plan = plan_search(config, space)
    with console.progress() as bars:
        data = configured_data(config, space, bars)
    with joined(compute_device(config.train.device)), open_run(config) as folder, console.progress() as bars:
        searched = run_search(Job(config, space, data, folder, bars), plan)
    _say_passed_over(searched)
    several = len(plan.budgets) > 1
    if json:
        winners = {name: _as_json(winner, folder.budget(name)) for name, winner in searched.winners.items()}
        console.answer_json(_several_as_json(winners, searched) if several else winners[plan.budgets[0][0].name])
    else:
        _answer(searched, plan, folder, space.quantized)
    if searched.front:
        entries = searched.front.front
        console.say(f"{len(entries)} candidates on the accuracy-cost front: {folder.front} and its picture")
    if searched.unmet:
        raise BudgetInfeasible("; ".join(searched.unmet))
    for name in searched.winners:
        console.say(f"Next: {invocation.hint('retrain', *(('--budget', name) if several else ()))}")


def _require_limit(config: "Config") -> None:
    """A search without limits would return the largest network and replace the winner of the last search.

    Raises:
        BadConfig: neither a flag nor nastool.toml has a limit.
    """
    from toolchain.errors import BadConfig

    if not any(flag.value(config) for flag in LIMITS):
        raise BadConfig("a search needs a limit. Give --latency, --macs, --params, --bitops or --weight-bits")


def _as_json(winner: "Winner", folder: "Path") -> dict[str, object]:
    return winner.model_dump(mode="json") | {"folder": str(folder)}


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


def _answer(searched: "SearchResult", plan: "SearchPlan", folder: "Run", low_bit: bool) -> None:
    several = len(plan.budgets) > 1
    if several:
        _answer_winners(searched.winners, plan.varied)
    else:
        _answer_winner(searched.best, plan, folder, low_bit)
    for name, winner in searched.winners.items():
        _answer_finalists(winner, f" of {name}" if several else "")


def _answer_winner(winner: "Winner", plan: "SearchPlan", folder: "Run", low_bit: bool) -> None:
    (named, _) = plan.budgets[0]
    arch = " ".join(winner.architecture)
    values = winner.model_dump()
    counts = {c.name: f"{c.exact(values[c.name])} ({c.format(values[c.name])})" for c in plan.costs.counted}
    limits = (f"{limit.cost.name} <= {limit.cost.exact(limit.most)}" for limit in named.budget.limits)
    console.answer_facts(
        "winner",
        {
            "architecture": arch,
            "hold-out accuracy": f"{winner.holdout_accuracy:.2%} (inherited weights)",
            **({} if winner.holdout_loss is None else {"hold-out loss": f"{winner.holdout_loss:.4f}"}),
            **counts,
            f"latency, {'estimate' if winner.estimate else 'predicted'}": _predicted(winner),
            f"latency, measured{' in int8 containers' if low_bit else ''}": _measured(winner),
            "limits": ", ".join(limits) or "none",
            "evaluations": winner.evaluations,
            "files": f"{folder.budget(named.name)}: best.json and pictures",
        },
    )
    for cost in plan.costs.all if plan.target.estimate else plan.costs.counted:
        console.say(f"{cost.name}: {cost.convention}")
    if winner.calibration and not winner.estimate:  # the convention of an estimate says it all
        console.say(f"latency_ms: {winner.calibration.in_words}")


def _answer_winners(winners: "dict[str, Winner]", varied: "TableCost") -> None:
    rows = [
        (
            name,
            f"{winner.holdout_accuracy:.2%}",
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
    architectures = {str(number): " ".join(each.architecture) for number, each in enumerate(report.finalists, 1)}
    console.answer_facts("their architectures", architectures)
    console.say(report.statement)
    if report.out_of_time:
        console.say("the time limit ended the trainings; increase --finalist-time for a surer choice")


def _predicted(winner: "Winner") -> str:
    if winner.latency_ms is None or winner.latency_margin is None:
        return "not measured: run nastool profile"
    if winner.estimate:
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
