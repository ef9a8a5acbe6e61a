"""The files that `nastool report` writes into a run."""

from collections.abc import Iterator
from pathlib import Path

from toolchain.config import load_config
from toolchain.errors import BadConfig, MissingStage
from toolchain.files import write_bytes
from toolchain.run_report.build import build_report
from toolchain.run_report.document import RunReport
from toolchain.run_report.page import model_card, page
from toolchain.run_report.run_files import RunFiles
from toolchain.runs import Run

PAGE = "report.html"


def run_files(run: Run, db: str | None = None) -> RunFiles:
    """The files of a run, with its own latency table or with `db`.

    Raises:
        BadConfig: its config.toml is damaged.
    """
    return RunFiles(run, db or load_config(run.config, {}).profile.db)


def write_page(report: RunReport, run: Run, out: Path | None = None) -> Path:
    """Write the page to `out`, or as report.html into the run.

    Raises:
        RunFolderError: it cannot be written.
    """
    path = out or run.folder / PAGE
    write_bytes(path, page(report).encode())
    return path


def write_page_of(folder: Path, db: str) -> Path:
    """Write report.html at the end of a command that made the run in `folder`."""
    run = Run(folder)
    return write_page(build_report(run_files(run, db)), run)


def write_model_cards(report: RunReport, run: Run, budget: str | None, out: Path | None) -> Iterator[Path]:
    """Write the model card of one budget, or of each: model_card.md, with the name of the budget if there are several.

    Raises:
        BadConfig: `out` is one file, and there are several budgets.
        MissingStage: the run has no winner, or none of this budget.
        RunFolderError: a file cannot be written.
    """
    names = [entry.name for entry in report.budgets]
    if not names:
        raise MissingStage(f"the run {report.run} has no winner yet. Run {report.missing[-1]}")
    if budget is not None and budget not in names:
        raise MissingStage(f"the run {report.run} has no budget {budget!r}. It has {', '.join(names)}")
    chosen = names if budget is None else [budget]
    if out is not None and len(chosen) > 1:
        raise BadConfig(f"--out is one file, and the run has several budgets. Give --budget {' or '.join(names)}")
    for name in chosen:
        own = "model_card.md" if len(names) == 1 else f"model_card_{name}.md"
        path = out or run.folder / own
        write_bytes(path, model_card(report, names.index(name)).encode())
        yield path
