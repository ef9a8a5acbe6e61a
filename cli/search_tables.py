"""What `nastool search` answers for people: winners, finalists and random networks as tables."""

from typing import TYPE_CHECKING

from cli import console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toolchain.costs.core import TableCost
    from toolchain.runs import Run
    from toolchain.search.plan import SearchPlan
    from toolchain.search.winner import Latencies, SharedLatencies, Winner


def answer_winner(winner: "Winner", plan: "SearchPlan", folder: "Run", low_bit: bool, images: int) -> None:
    """The winner of one budget.

    Args:
        folder: the run.
        low_bit: the networks of the space run in int8 containers.
        images: of the hold-out.
    """
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
            f"latency, measured{' in int8 containers' if low_bit else ''}": measured_text(winner),
            **{
                f"on {device}": f"{_predicted(there)}; measured {measured_text(there)}"
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


def answer_winners(winners: "Mapping[str, Winner]", varied: "TableCost", images: int) -> None:
    """The winners of several budgets, with their cost `varied`; `images` is the size of the hold-out."""
    from toolchain.training.accuracy_interval import accuracy_text

    rows = [
        (
            name,
            accuracy_text(winner.holdout_accuracy, images),
            varied.format(winner.model_dump()[varied.name]),
            _ms(winner.latency_ms),
            _ms(winner.latency_upper_ms),
            measured_text(winner),
        )
        for name, winner in winners.items()
    ]
    predicted = "estimate" if any(winner.estimate for winner in winners.values()) else "predicted"
    columns = ("budget", "hold-out", varied.name, predicted, "at most", "measured")
    console.answer_table(f"winners, with inherited weights ({varied.name}: {varied.convention})", columns, rows)
    _answer_architectures({name: winner.architecture for name, winner in winners.items()})


def _answer_architectures(architectures: "Mapping[str, Sequence[str]]") -> None:
    console.answer_facts("their architectures", {name: " ".join(keys) for name, keys in architectures.items()})


def answer_finalists(winner: "Winner", of_budget: str) -> None:
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
    columns = ("", "outcome", "stand-alone", "trainings", "inherited", "latency", "proposed by")
    console.answer_table(f"finalists{of_budget}, trained alone for {report.epochs:g} epochs", columns, rows)
    _answer_architectures({str(number): finalist.architecture for number, finalist in enumerate(report.finalists, 1)})
    console.say(report.statement)
    if report.out_of_time:
        console.say("the time limit ended the trainings; increase --finalist-time for a surer choice")


def answer_random_select(winner: "Winner", of_budget: str) -> None:
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
    columns = ("", "inherited", "stand-alone", "MACs", "predicted")
    console.answer_table(f"random select{of_budget}: drawn uniformly within the limits", columns, rows)
    _answer_architectures({str(number): network.architecture for number, network in enumerate(report.networks, 1)})
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


def measured_text(candidate: "Latencies") -> str:
    """The measured latency of a network, with its upper end."""
    if candidate.measured_latency_ms is None:
        return "not measured"
    unstable = f" (unstable: {candidate.measured_unstable})" if candidate.measured_unstable else ""
    upper = f"at most {_ms(candidate.measured_upper_ms)} by its rounds"
    return f"{_ms(candidate.measured_latency_ms)}, {upper}{unstable}"


def _ms(latency_ms: float | None) -> str:
    return "not measured" if latency_ms is None else f"{latency_ms:.3f} ms"
