"""`nastool report`: one page about a run, its document, its model card, and the check of its figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation

if TYPE_CHECKING:
    from toolchain.run_report.run_files import RunFiles

Name = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", help="Name or folder of a run. Default: that of nastool.toml.", show_default=False),
]
Format = Annotated[
    Literal["html", "md"], typer.Option("--format", help="html: the page; md: a model card (Hugging Face layout).")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="The file to write. Default: report.html or model_card.md in the run.")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Compute the figures of the run's files again, and fail if one differs.")
]


@configured("report")
def report(
    invocation: Invocation,
    name: Name = None,
    format: Format = "html",
    budget: options.BudgetName = None,
    out: Out = None,
    verify: Verify = False,
    json: options.Json = False,
) -> None:
    """Write one self-contained HTML page about a run: verdict, front, search, architecture, provenance.

    Also for an unfinished run: it names the commands that are missing. --json prints the page's figures instead.
    """
    console.say(f"report of {name or invocation.config.run}")
    from toolchain.overview.named_run import named_run

    run = named_run(invocation.config.runs, name or invocation.config.run)  # before imports that take seconds
    from toolchain.files import require_writable
    from toolchain.run_report.build import build_report
    from toolchain.run_report.files_of_report import run_files, write_model_cards, write_page

    _require_used(format, budget, out, verify or json)
    if out is not None:
        require_writable(out, "--out report.html")
    files = run_files(run, invocation.config.profile.db if "profile.db" in invocation.given else None)
    if verify:
        _verify(files, json)
        return
    document = build_report(files)
    if json:
        console.answer_json(document.model_dump(mode="json", exclude={"schema_version"}))
        return
    if format == "html":
        paths = [write_page(document, run, out)]
    else:
        paths = list(write_model_cards(document, run, budget, out))
    console.answer_facts(f"report of {document.run}", {"written": ", ".join(map(str, paths))})
    for command in (*document.missing, *(command for budget in document.budgets for command in budget.missing)):
        console.say(f"not finished yet: {command}")
    for note in document.notes:
        console.say(note)


def _require_used(format: str, budget: str | None, out: Path | None, no_file: bool) -> None:
    """Refuse flags that have no effect.

    Raises:
        BadConfig: --budget with the page, which has all budgets, or flags of files where none is written.
    """
    from toolchain.errors import BadConfig

    if no_file and (out is not None or format != "html" or budget is not None):
        raise BadConfig("--json and --verify write no file. Leave out --out, --format and --budget")
    if format == "html" and budget is not None:
        raise BadConfig("the page shows all budgets. Leave out --budget, or give --format md")


def _verify(files: "RunFiles", json: bool) -> None:
    """Print what was checked.

    Raises:
        CheckFailed: a figure differs; the message names each.
    """
    from toolchain.errors import CheckFailed
    from toolchain.run_report.verify import verify

    result = verify(files)
    if json:
        console.answer_json(result.model_dump(mode="json", exclude={"schema_version"}))
    else:
        console.answer_facts(
            f"figures of {files.run.folder.name}", {"checked": result.checked, "different": len(result.differences)}
        )
    for note in result.notes:
        console.say(f"not checked: {note}")
    if result.differences:
        raise CheckFailed("; ".join(result.differences))
