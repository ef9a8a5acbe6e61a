"""`nastool search`: find the most accurate architecture that fits."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options

if TYPE_CHECKING:
    from toolchain.costs.core import TableCost
    from toolchain.runs import Run
    from toolchain.search.plan import SearchPlan
    from toolchain.search.search import SearchResult
    from toolchain.search.winner import Latencies, Winner


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
    from toolchain.search.plan import plan_search
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
        search__random_search=baseline,
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
    for name, winner in searched.winners.items():
        for candidate in winner.passed_over:
            console.say(
                f"passed over: {' '.join(candidate.architecture)} scored {candidate.holdout_accuracy:.2%}, "
                f"but measured {_measured(candidate)} ({name})"
            )
    several = len(plan.budgets) > 1
    if json:
        console.answer_json(_several_as_json(searched) if several else searched.best.model_dump(mode="json"))
    elif several:
        _answer_winners(searched.winners, plan.varied)
    else:
        _answer_winner(searched.best, plan, folder)
    if searched.front:
        entries = searched.front.front
        console.say(f"{len(entries)} candidates on the accuracy-cost front: {folder.front} and its picture")
    if searched.unmet:
        raise BudgetInfeasible("; ".join(searched.unmet))
    console.say(f"Next: nastool retrain --run {settings.run}{again}" + (" --budget ..." if several else ""))


def _several_as_json(searched: "SearchResult") -> dict[str, object]:
    return {
        "schema_version": 1,
        "winners": {name: winner.model_dump(mode="json") for name, winner in searched.winners.items()},
        "front": [entry.as_json() for entry in searched.front.front] if searched.front else [],
        "unmet": list(searched.unmet),
    }


def _answer_winner(winner: "Winner", plan: "SearchPlan", folder: "Run") -> None:
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
            **counts,
            f"latency, {'estimate' if winner.estimate else 'predicted'}": _predicted(winner),
            "latency, measured": _measured(winner),
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
