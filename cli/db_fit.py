"""`nastool db fit`: a latency table from whole networks that were measured elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation
from cli.suggested_limit import suggested_limit

if TYPE_CHECKING:
    from toolchain.profiling.import_networks import Fitted
    from toolchain.profiling.regression import Fit


@configured("db fit")
def db_fit(
    invocation: Invocation,
    csv: Annotated[Path, typer.Option("--csv", help="File with the columns architecture,latency_ms.")],
    json: options.Json = False,
) -> None:
    """Fit an additive latency table to whole networks that were measured elsewhere.

    Reports its error on held-out networks. Search with it by --backend regression.
    """
    console.say(f"fitting {csv}")
    from toolchain.costs.regression import REGRESSION
    from toolchain.nets.checked_space import configured_space
    from toolchain.profiling.import_networks import fit_table

    invocation = invocation.with_backend(REGRESSION)
    space = configured_space(invocation.config)
    fitted = fit_table(invocation.config, space, csv)
    if json:
        console.answer_json(fitted.as_dict())
        return
    _answer(fitted)
    console.say(
        f"{len(fitted.fit.rows)} records in {fitted.db}. "
        f"Next: {invocation.hint('search', *suggested_limit(invocation.config, space))}"
    )


def _answer(fitted: "Fitted") -> None:
    from toolchain.profiling.regression import TARGET

    fit, target = fitted.fit, fitted.target
    sharing = "one per position" if fit.by_position else "shared by blocks of the same geometry"
    console.answer_facts(
        f"fitted, not measured here: {fitted.space} on {target.device_model}, batch {target.batch}",
        {
            "networks": fitted.networks,
            "coefficients": f"{fit.coefficients}, {sharing}",
            "held-out error": f"{fit.mape:.2%} ({fit.bias:+.2%} bias)",
            "rank correlation": f"tau {fit.tau:.3f}",
            "skill": f"{fit.skill:.2f} of the error of predicting the median",
            "by networks": ", ".join(f"{count}: {error:.2%}" for count, error in fit.curve),
            f"for an error of {TARGET:.0%}": _more(fit),
        },
    )


def _more(fit: "Fit") -> str:
    if fit.more is None:
        return "more networks would hardly help: the error no longer falls"
    return f"about {fit.more} more networks" if fit.more else "no more networks are needed"
