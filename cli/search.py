"""`nastool search`: find the most accurate architecture that fits."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console, options

if TYPE_CHECKING:
    from toolchain.costs.core import TableCost
    from toolchain.runs import Run
    from toolchain.search.per_budget import SearchPlan


def search(
    latency: options.Latency = None,
    macs: options.Macs = None,
    params: options.Params = None,
    bitops: options.BitOps = None,
    weight_bits: options.WeightBits = None,
    population: Annotated[int | None, typer.Option("--population", help="Algorithm 1: P.")] = None,
    generations: Annotated[int | None, typer.Option("--generations", help="Algorithm 1: T.")] = None,
    baseline: Annotated[
        bool | None, typer.Option("--baseline/--no-baseline", help="Also run random search, for comparison.")
    ] = None,
    race: Annotated[
        bool | None,
        typer.Option("--race/--no-race", help="Stop candidates early that have clearly lost (search.race_error)."),
    ] = None,
    space: options.Space = None,
    fixed_ops: options.FixOps = None,
    widths: options.Widths = None,
    data: options.Data = None,
    holdout_per_class: options.Holdout = None,
    recipe: options.Recipe = None,
    epochs: options.Epochs = None,
    device: options.Device = None,
    estimate: options.Estimate = None,
    target: options.TargetId = None,
    backend: options.Backend = None,
    precision: options.Precision = None,
    batch: options.BatchSize = None,
    threads: options.Threads = None,
    db: options.Db = None,
    run: options.Run = None,
    runs: options.Runs = None,
    seed: options.Seed = None,
    config: options.ConfigFile = None,
    nproc: options.Nproc = None,
    json: options.Json = False,
) -> None:
    """Search by evolution under hard limits; the winner is compiled whole and measured.

    Killed, the same command goes on from its journal and ends with the same result.
    """
    from toolchain.config import load_config
    from toolchain.errors import BudgetInfeasible
    from toolchain.nets.checked_space import load_checked_space
    from toolchain.parallel.collectives import joined
    from toolchain.runs import open_run
    from toolchain.search.search import plan_search
    from toolchain.search.search import search as run_search
    from toolchain.training.data import load_data
    from toolchain.training.precision import compute_device
    from toolchain.training.stages import prepare_torch

    given = options.flags(
        space=space,
        fixed_ops=fixed_ops,
        widths=widths,
        data=data,
        holdout_per_class=holdout_per_class,
        run=run,
        runs=runs,
        seed=seed,
        train__recipe=recipe,
        train__changes__epochs=epochs,
        profile__device=device,
        profile__estimate=estimate,
        profile__target=target,
        profile__backend=backend,
        profile__precision=precision,
        profile__batch=batch,
        profile__threads=threads,
        profile__db=db,
        search__latency=latency,
        search__macs=macs,
        search__params=params,
        search__bitops=bitops,
        search__weight_bits=weight_bits,
        search__population=population,
        search__generations=generations,
        search__random_baseline=baseline,
        search__race=race,
    )
    settings = load_config(config, given)
    if options.in_processes(nproc):
        return
    again = options.again(space, fixed_ops, widths, data, holdout_per_class, runs, config)
    prepare_torch(settings)
    chosen_space = load_checked_space(settings.space, settings.fixed_ops, settings.widths)
    plan = plan_search(settings, chosen_space)
    with console.progress() as bars:
        images = load_data(settings.data_name(), chosen_space, settings.holdout_per_class, settings.seed, bars)
    with joined(compute_device(settings.train.device)), open_run(settings) as folder, console.progress() as bars:
        searched = run_search(settings, chosen_space, plan, images, folder, bars)
    for name, best in searched.winners.items():
        for other in best["passed_over"]:
            console.say(
                f"passed over: {' '.join(other['architecture'])} scored {other['holdout_accuracy']:.2%}, "
                f"but measured {_measured(other)} ({name})"
            )
    if json:
        several = {"winners": searched.winners, "front": searched.front, "unmet": list(searched.unmet)}
        console.answer_json(searched.best if len(plan.goals) == 1 else several)
    elif len(plan.goals) == 1:
        _answer_winner(searched.best, plan, folder)
    else:
        _answer_winners(searched.winners, plan.varied)
    if searched.front:
        console.say(f"{len(searched.front)} candidates on the accuracy-cost front: {folder.front} and its picture")
    if searched.unmet:
        raise BudgetInfeasible("; ".join(searched.unmet))
    console.say(f"Next: nastool retrain --run {settings.run}{again}" + (" --budget ..." if len(plan.goals) > 1 else ""))


def _answer_winner(best: dict[str, Any], plan: "SearchPlan", folder: "Run") -> None:
    (goal, _) = plan.goals[0]
    counts = {c.name: f"{c.exact(best[c.name])} ({c.format(best[c.name])})" for c in plan.costs.counted}
    limits = (f"{limit.cost.name} <= {limit.cost.exact(limit.most)}" for limit in goal.budget.limits)
    console.answer_facts(
        "winner",
        {
            "architecture": " ".join(best["architecture"]),
            "hold-out accuracy": f"{best['holdout_accuracy']:.2%} (inherited weights)",
            **counts,
            f"latency, {'estimate' if best['estimate'] else 'predicted'}": _predicted(best),
            "latency, measured": _measured(best),
            "limits": ", ".join(limits) or "none",
            "evaluations": best["evaluations"],
            "files": f"{folder.budget(goal.name)}: best.json and pictures",
        },
    )
    for cost in plan.costs.all if plan.target.estimate else plan.costs.counted:
        console.say(f"{cost.name}: {cost.convention}")
    if best["calibration"] and not best["estimate"]:  # its convention, above, has said all
        console.say(f"latency_ms: {best['calibration']['in_words']}")


def _answer_winners(winners: dict[str, dict[str, Any]], varied: "TableCost") -> None:
    rows = [
        (
            name,
            f"{best['holdout_accuracy']:.2%}",
            varied.format(best[varied.name]),
            _ms(best["latency_ms"]),
            _ms(best["latency_upper_ms"]),
            _measured(best),
        )
        for name, best in winners.items()
    ]
    predicted = "estimate" if any(best["estimate"] for best in winners.values()) else "predicted"
    columns = ("budget", "hold-out", varied.name, predicted, "at most", "measured")
    console.answer_table(f"winners, with inherited weights ({varied.name}: {varied.convention})", columns, rows)
    console.answer_facts("their architectures", {name: " ".join(b["architecture"]) for name, b in winners.items()})


def _predicted(best: dict[str, Any]) -> str:
    if best["latency_ms"] is None:
        return "its parts are not measured"
    if best["estimate"]:
        return _ms(best["latency_ms"])  # no margin is kept on it
    bound = f"at most {_ms(best['latency_upper_ms'])} with a margin of {best['latency_margin']:.1%}"
    return f"{_ms(best['latency_ms'])}, {bound}"


def _measured(best: dict[str, Any]) -> str:
    if best["measured_latency_ms"] is None:
        return "not measured"
    unstable = f" (unstable: {best['measured_unstable']})" if best["measured_unstable"] else ""
    return f"{_ms(best['measured_latency_ms'])}, at most {_ms(best['measured_upper_ms'])} by its rounds{unstable}"


def _ms(latency_ms: float | None) -> str:
    return "not measured" if latency_ms is None else f"{latency_ms:.3f} ms"
