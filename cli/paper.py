"""`nastool paper`: the tables and figures of the paper, measured here."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.flags import FLAGS
from cli.invocation import Invocation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from toolchain.paper.request import TableRequest
    from toolchain.paper.result import PaperResult

Names = Annotated[
    list[str], typer.Argument(metavar="TABLE...", help="Tables and figures, e.g. table3 figure2; or all of them: all.")
]
PresetName = Annotated[
    str,
    typer.Option("--preset", help="Scale: quick (30 to 60 minutes each on two CPU cores) or imagenet (the paper's)."),
]
Seeds = Annotated[
    str | None,
    typer.Option("--seeds", help="Seeds to repeat everything with, e.g. 0..4. Default: those of the preset."),
]


@configured("paper", preset="quick")
def paper(
    invocation: Invocation,
    names: Names,
    preset: PresetName = "quick",
    seeds: Seeds = None,
    json: options.Json = False,
) -> None:
    """Measure tables and figures of the paper on your data and device.

    Prints the paper's rows beside the measured ones, and writes them to runs/paper/TABLE with a picture. Resumes when
    rerun.
    """
    from toolchain.paper.names import require_names

    answers: dict[str, object] = {}
    for request in _requests(invocation, require_names(names), preset, seeds):
        result, files = _measure(request)
        answers[request.name] = result.model_dump(mode="json") | {"statements": list(result.statements)}
        if not json:
            _answer(result, files)
    if json:
        console.answer_json({"tables": answers})


def _requests(invocation: Invocation, names: "Sequence[str]", preset: str, seeds: str | None) -> "list[TableRequest]":
    from toolchain.paper.request import TableRequest
    from toolchain.units import parse_seeds

    given = [flag for flag in FLAGS["paper"] if flag.key in invocation.given]
    flags = {flag.key: flag.value(invocation.config) for flag in given}
    chosen_seeds = None if seeds is None else parse_seeds(seeds)
    typed = {"--preset": None if preset == "quick" else preset, "--seeds": seeds, "--config": invocation.file}
    words = [str(word) for flag, value in typed.items() if value is not None for word in (flag, value)]
    words += [word for flag in given for word in flag.words(invocation.config)]
    return [TableRequest(name, preset, chosen_seeds, invocation.file, flags, tuple(words)) for name in names]


def _measure(request: "TableRequest") -> "tuple[PaperResult, list[Path]]":
    console.say(f"{request.name} of the paper, preset {request.preset}")
    from cli.early_checks import check_arguments
    from toolchain.paper.tables import plan_table, run_table

    with console.progress() as bars:
        experiment = plan_table(request, bars)
        check_arguments(experiment.config)
        return run_table(experiment)


def _answer(result: "PaperResult", files: "list[Path]") -> None:
    from toolchain.paper.result import count_seeds

    intervals = ", with the 95 % interval of each mean" if len(result.seeds) > 1 else ""
    seeds = count_seeds(len(result.seeds)) + intervals
    title = f"{result.title}: {result.space} on {result.data}, {result.machine}; {seeds}"
    headings, *rows = result.texts()
    console.answer_table(title, headings, rows)
    for text in (*result.statements, *result.notes):
        console.answer_text(text)
    console.say(f"files: {', '.join(map(str, files))}")
