"""`nastool cost`: what an architecture costs, without training or measuring anything."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation, say_space, with_fitted_space

if TYPE_CHECKING:
    from toolchain.config import ProfileConfig
    from toolchain.search.cost_report import CostReport


@configured("cost")
def cost(
    invocation: Invocation,
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
    options.require_one(arch, budget)
    config = with_fitted_space(invocation).config
    if published is None:
        say_space(invocation, config)
    from toolchain.errors import BadConfig
    from toolchain.nets.published import published as published_network
    from toolchain.search.cost_report import published_costs, selected_costs

    if published is None:
        report = selected_costs(config, arch, budget)
    elif arch is None and budget is None and not invocation.gives_space:
        report = published_costs(config, published_network(published))
    else:
        raise BadConfig("--published names a space and an architecture. Leave out --arch, --budget and the space flags")
    if json:
        console.answer_json(report.as_dict())
        return
    _answer(report)
    if report.estimated_ms is not None:
        _answer_estimate(report.estimated_ms, config.profile)
    elif report.costs.latency is None:
        console.say("latency_ms: the block variants are not measured on this target. Run nastool profile")


def _answer(report: "CostReport") -> None:
    rows = [(number, block.block, block.choice, f"{block.macs:,}") for number, block in enumerate(report.blocks)]
    console.answer_table(f"{report.space.name}: choice blocks", ("", "block", "choice", "MACs"), rows)
    totals = []
    for cost in report.costs.all:
        value = cost.cost(report.architecture)
        totals.append((cost.name, cost.exact(value), cost.format(value), cost.convention))
    console.answer_table("whole network", ("cost", "exact", "", "what is counted"), totals)
    if report.published:
        console.answer_facts("published", vars(report.published))


def _answer_estimate(estimated_ms: float, profile: "ProfileConfig") -> None:
    from toolchain.measuring.rates import rates_of

    rates = rates_of(profile.device)
    console.answer_facts(
        "estimate, not measured",
        {"latency": f"{estimated_ms:.2f} ms a batch of {profile.batch} on {rates.model}", "rates": rates.source},
    )
