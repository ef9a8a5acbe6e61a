"""A run folder -> the document of its report."""

from collections.abc import Iterator

from toolchain.run_report.budgets import accuracy, budget_report
from toolchain.run_report.candidates import search_report
from toolchain.run_report.curves import read_curves
from toolchain.run_report.document import RunReport, ShrinkReport, SideAccuracies
from toolchain.run_report.provenance import missing_of_budget, missing_stages, provenance
from toolchain.run_report.run_files import RunFiles
from toolchain.shrink.result import Figures, ShrinkResult


def build_report(files: RunFiles) -> RunReport:
    """Read the files of a run, also of an unfinished one, and compute every figure of its report.

    Raises:
        BadDocument, BadConfig, BadCheckpoint: a file is damaged, or is of another space; it is named.
    """
    latencies = {name: files.latency(winner) for name, winner in files.winners.items()}
    last = files.last_winner
    latency = files.latency(last) if last else None
    made = provenance(files, last)
    return RunReport(
        run=files.run.folder.name,
        device=_text(made.target.get("device_model")),
        batch=_number(made.target.get("batch")),
        data=files.config.data,
        missing=tuple(missing_stages(files)),
        notes=tuple(_notes(files)),
        budgets=tuple(
            budget_report(files, name, latencies[name], tuple(missing_of_budget(files, name))) for name in files.winners
        ),
        search=search_report(files, last, latency) if last else None,
        shrink=None if files.shrink is None else _shrink(files.shrink),
        curves=tuple(read_curves(files.run)),
        provenance=made,
    )


def _shrink(result: ShrinkResult) -> ShrinkReport:
    return ShrinkReport(result=result, original=_side(result, result.original), shrunk=_side(result, result.shrunk))


def _side(result: ShrinkResult, figures: Figures) -> SideAccuracies:
    return SideAccuracies(
        test=accuracy(figures.test_accuracy, result.test_images),
        holdout=accuracy(figures.holdout_accuracy, result.holdout_images),
    )


def _notes(files: RunFiles) -> Iterator[str]:
    for name, winner in files.winners.items():
        if winner.calibration is not None and files.latency(winner) is None:
            yield (
                f"The prediction of {name} cannot be computed again from the latency table: "
                f"{files.why_not_predicted(winner)}. Its blocks show MACs instead of milliseconds. Run nastool report "
                f"where the table is, or give --db"
            )
        if winner.not_measured:
            yield f"The winner of {name} was not measured: {winner.not_measured}"
        if winner.holdout_images is None:
            yield f"The files of {name} do not hold the number of images, so its accuracies have no interval"


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def _number(value: str | int | None) -> int | None:
    return value if isinstance(value, int) else None
