"""`nastool db fit`: a latency table from whole networks that were measured elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.suggested_limit import suggested_limit

if TYPE_CHECKING:
    from toolchain.profiling.regression import Fit


@options.configured("db fit")
def fit(
    invocation: options.Invocation,
    csv: Annotated[Path, typer.Option("--csv", help="File with the columns architecture,latency_ms.")],
    json: options.Json = False,
) -> None:
    """Fit an additive latency table to whole networks that were measured elsewhere.

    Reports its error on held-out networks. Search with it by --backend regression.
    """
    from latency_db.where import shown
    from toolchain.costs.latency import REGRESSION
    from toolchain.nets.checked_space import load_checked_space
    from toolchain.profiling.import_networks import fit_table
    from toolchain.profiling.regression import TARGET

    invocation = invocation.with_backend(REGRESSION)
    settings = invocation.config
    chosen = load_checked_space(settings.space, settings.fixed_ops, settings.widths)
    fitted = fit_table(settings, chosen, csv)
    found = fitted.fit
    if json:
        console.answer_json(
            {
                "space": chosen.name,
                "db": shown(settings.profile.db),
                "target": fitted.target.as_dict(),
                "networks": fitted.networks,
                "coefficients": found.coefficients,
                "by_position": found.by_position,
                "ridge": found.ridge,
                "mape": found.mape,
                "bias": found.bias,
                "tau": found.tau,
                "skill": found.skill,
                "learning_curve": [{"networks": count, "mape": error} for count, error in found.curve],
                "target_mape": TARGET,
                "more_networks": found.more,
                "rows": dict(found.rows),
            }
        )
        return
    console.answer_facts(
        f"fitted, not measured here: {chosen.name} on {fitted.target.device_model}, batch {fitted.target.batch}",
        {
            "networks": fitted.networks,
            "numbers": f"{found.coefficients}, {'one a position' if found.by_position else 'shared by parts alike'}",
            "held-out error": f"{found.mape:.2%} ({found.bias:+.2%} bias)",
            "rank correlation": f"tau {found.tau:.3f}",
            "skill": f"{found.skill:.2f} of the error of always saying the median",
            "by networks": ", ".join(f"{count}: {error:.2%}" for count, error in found.curve),
            f"for an error of {TARGET:.0%}": _more(found),
        },
    )
    console.say(
        f"{len(found.rows)} records in {shown(settings.profile.db)}. "
        f"Next: {invocation.hint('search', *suggested_limit(settings, chosen))}"
    )


def _more(found: "Fit") -> str:
    if found.more is None:
        return "more networks would hardly help: the error no longer falls"
    return f"about {found.more} more networks" if found.more else "no more networks are needed"
