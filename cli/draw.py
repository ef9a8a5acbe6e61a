"""`nastool draw`: pictures of architectures and of spaces."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation, say_space, with_fitted_space

Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SOURCE]...",
        help="A best.json, or the choices of an architecture, in quotes. Several are drawn below each other.",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", help="The file to write, .svg or .png; without a suffix, both."),
]


@configured("draw")
def draw(
    invocation: Invocation,
    sources: Sources = None,
    budget: options.BudgetName = None,
    out: Out = Path("architecture"),
    json: options.Json = False,
) -> None:
    """Draw architectures block by block: map size, op, width, bits, and each block's share of the cost.

    Without a SOURCE: the winner of the run or, with --space, the choices of the space.
    """
    console.say(f"drawing {', '.join(sources or []) or 'an architecture or a space'}")
    from toolchain.errors import BadConfig
    from toolchain.files import require_writable
    from toolchain.nets.checked_space import configured_space
    from toolchain.report.architecture import draw_architectures
    from toolchain.report.space import draw_space
    from toolchain.search.drawing import networks_to_draw, picture_paths

    paths = picture_paths(out)
    for path in paths:
        require_writable(path, "--out picture.svg")
    if sources and budget is not None:
        raise BadConfig("--budget names the winner of a run, and an architecture is given as well. Give one of them")
    config = with_fitted_space(invocation).config
    say_space(invocation, config)
    if not sources and invocation.gives_space and "run" not in invocation.given:
        space = configured_space(config)
        draw_space(space, *paths)
        networks, drawn = [], space.name
    else:
        networks = networks_to_draw(config, sources or [], budget, invocation.gives_space)
        draw_architectures(networks, *paths)
        drawn = ", ".join(network.title for network in networks)
    if json:
        shown = [network.model_dump(mode="json") for network in networks]
        console.answer_json({"files": list(map(str, paths)), "networks": shown})
    else:
        console.answer_facts("drawn", {str(path): drawn for path in paths})
