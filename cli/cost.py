"""`nastool cost`: what an architecture costs, without training or measuring anything."""

from typing import Annotated

import typer

from cli import console, options


@options.configured("cost")
def cost(
    invocation: options.Invocation,
    arch: options.Arch = None,
    budget: options.BudgetName = None,
    published: Annotated[
        str | None,
        typer.Option("--published", help="Compare a published network with its printed figures, e.g. fbnet_a."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Count the MACs and parameters of an architecture, and predict its latency from recorded variants.

    Without --arch, of the winner of the run.
    """
    from toolchain.errors import BadConfig
    from toolchain.measuring.estimates import estimate_network
    from toolchain.measuring.from_config import table_target
    from toolchain.measuring.rates import rates_of
    from toolchain.nets.checked_space import configured_space, load_checked_space
    from toolchain.nets.published import published as published_network
    from toolchain.runs import run_of
    from toolchain.search.budget import load_costs
    from toolchain.search.winner import select_architecture

    options.require_one(arch, budget)
    settings = invocation.config
    if published is not None and (arch is not None or budget is not None or invocation.gives_space):
        raise BadConfig("--published names a space and an architecture. Leave out --arch, --budget and the space flags")
    known = None if published is None else published_network(published)
    chosen_space = load_checked_space(known.space) if known else configured_space(settings)
    if known:
        chosen = chosen_space.architecture(known.architecture)
    else:
        chosen = select_architecture(arch, budget, chosen_space, run_of(settings)).architecture
    profile = settings.profile
    costs = load_costs(chosen_space, table_target(profile), profile.db, need_latency=False)
    estimated_ms = None
    if profile.estimate:
        estimated_ms = estimate_network(chosen_space, chosen, profile.device, profile.batch, profile.precision)
    macs = costs.named("macs")
    blocks = [
        {"block": block.geometry, "choice": key, "macs": int(row[key])}
        for block, key, row in zip(chosen_space.blocks, chosen.choices, macs.rows, strict=True)
    ]
    if json:
        head = {"space": chosen_space.name, "architecture": list(chosen.choices), **costs.of(chosen)}
        conventions = {cost.name: cost.convention for cost in costs.all}
        body = {"fixed_macs": int(macs.fixed), "blocks": blocks, "conventions": conventions}
        figures = {"estimate": settings.profile.estimate, "estimated_latency_ms": estimated_ms}
        console.answer_json({**head, **body, **figures, "published": vars(known) if known else None})
        return
    rows = [(n, b["block"], b["choice"], f"{b['macs']:,}") for n, b in enumerate(blocks)]
    console.answer_table(f"{chosen_space.name}: choice blocks", ("", "block", "choice", "MACs"), rows)
    totals = [(c.name, c.exact(c.cost(chosen)), c.format(c.cost(chosen)), c.convention) for c in costs.all]
    console.answer_table("whole network", ("cost", "exact", "", "what is counted"), totals)
    if known:
        console.answer_facts("published", vars(known))
    if estimated_ms is not None:
        rates = rates_of(settings.profile.device)
        batch_of = f"a batch of {settings.profile.batch}"
        console.answer_facts(
            "estimate, not measured",
            {"latency": f"{estimated_ms:.2f} ms {batch_of} on {rates.model}", "rates": rates.source},
        )
    elif costs.latency is None and not chosen_space.quantized:
        console.say("latency_ms: the block variants are not measured on this target. Run nastool profile")
