"""Options that several commands have, and what they say of an architecture."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import console

if TYPE_CHECKING:
    from toolchain.runs import Run

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
Arch = Annotated[
    str | None,
    typer.Option(
        "--arch",
        help="Architecture instead of the winner: choice keys, indices, one choice for all blocks, a best.json, or "
        "original (of a model).",
    ),
]
BudgetName = Annotated[
    str | None, typer.Option("--budget", help="Winner of this budget, e.g. latency_17ms. Default: of the last search.")
]


def require_one(arch: str | None, budget: str | None, published: str | None = None) -> None:
    """Refuse two architectures at once.

    Raises:
        BadConfig: two of --arch, --budget and --published are given.
    """
    from toolchain.errors import BadConfig

    values = {"--arch": arch, "--budget": budget, "--published": published}
    given = [flag for flag, value in values.items() if value is not None]
    if len(given) > 1:
        raise BadConfig(f"{given[0]} and {given[1]} both select an architecture. Give only one")


def selected(arch: str | None, budget: str | None) -> tuple[str, ...]:
    """--arch or --budget, as the next command needs it for the same architecture."""
    if arch is not None:
        return ("--arch", arch)
    return () if budget is None else ("--budget", budget)


def say_which_winner(arch: str | None, budget: str | None, run: "Run") -> None:
    """Of several budgets' winners, one is taken without --budget; say which."""
    if arch is not None or budget is not None or len(run.budgets) < 2:
        return
    console.say(
        f"this is the winner of the last search; {run.folder} has winners of several budgets. Select one with "
        f"--budget {' or '.join(run.budgets)}"
    )
