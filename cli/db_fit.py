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
    from toolchain.nets.checked_space import configured_space
    from toolchain.profiling.import_networks import fit_table
    from toolchain.profiling.regression import TARGET

    invocation = invocation.with_backend(REGRESSION)
    settings = invocation.config
    chosen = configured_space(settings)
    fitted = fit_table(settings, chosen, csv)
    fit_result = fitted.fit
    sharing = "one per position" if fit_result.by_position else "shared by blocks of the same geometry"
    if json:
        console.answer_json(
            {
                "space": chosen.name,
                "db": shown(settings.profile.db),
                "target": fitted.target.as_dict(),
                "networks": fitted.networks,
                "coefficients": fit_result.coefficients,
                "by_position": fit_result.by_position,
                "ridge": fit_result.ridge,
                "mape": fit_result.mape,
                "bias": fit_result.bias,
                "tau": fit_result.tau,
                "skill": fit_result.skill,
                "learning_curve": [{"networks": count, "mape": error} for count, error in fit_result.curve],
                "target_mape": TARGET,
                "more_networks": fit_result.more,
                "rows": dict(fit_result.rows),
            }
        )
        return
    console.answer_facts(
        f"fitted, not measured here: {chosen.name} on {fitted.target.device_model}, batch {fitted.target.batch}",
        {
            "networks": fitted.networks,
            "coefficients": f"{fit_result.coefficients}, {sharing}",
            "held-out error": f"{fit_result.mape:.2%} ({fit_result.bias:+.2%} bias)",
            "rank correlation": f"tau {fit_result.tau:.3f}",
            "skill": f"{fit_result.skill:.2f} of the error of predicting the median",
            "by networks": ", ".join(f"{count}: {error:.2%}" for count, error in fit_result.curve),
            f"for an error of {TARGET:.0%}": _more(fit_result),
        },
    )
    console.say(
        f"{len(fit_result.rows)} records in {shown(settings.profile.db)}. "
        f"Next: {invocation.hint('search', *suggested_limit(settings, chosen))}"
    )


def _more(fit_result: "Fit") -> str:
    if fit_result.more is None:
        return "more networks would hardly help: the error no longer falls"
    return f"about {fit_result.more} more networks" if fit_result.more else "no more networks are needed"
