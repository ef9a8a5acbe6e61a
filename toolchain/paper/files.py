"""The files of a table: result.json, a page, a CSV of its rows, one of its curves, and a picture."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from toolchain.files import write_bytes, write_document
from toolchain.paper.page import page
from toolchain.paper.result import PaperResult, Row, count_seeds, number_in
from toolchain.report.paper import Dot, Line, Panel, draw_curves, draw_rows
from toolchain.training.mean_interval import MeanInterval


def write_result(folder: Path, result: PaperResult) -> list[Path]:
    """Write all files, and return the paths of those to look at: page, CSV and picture.

    Raises:
        RunFolderError: they cannot be written.
    """
    write_document(folder / "result.json", result)
    contents = {f"{result.name}.md": page(result).encode(), f"{result.name}.csv": _csv(_table(result))}
    if result.curves:
        contents[f"{result.name}_curves.csv"] = _csv(_curves(result))
    for name, content in contents.items():
        write_bytes(folder / name, content)
    picture = folder / f"{result.name}.png"
    if result.curves:
        lines = [Line(curve.name, list(map(_dot, curve.means()))) for curve in result.curves]
        draw_curves(lines, _title(result), picture)
    else:
        draw_rows([row.name for row in result.rows], _panels(result), _title(result), picture)
    return [*(folder / name for name in contents), picture]


def _title(result: PaperResult) -> str:
    seeds = count_seeds(len(result.seeds)) + (", 95% intervals" if len(result.seeds) > 1 else "")
    return f"{result.title}: {result.space} on {result.data}, preset {result.preset}, {seeds}"


def _panels(result: PaperResult) -> list[Panel]:
    column = result.column(result.drawn)
    dots = [_dot(row.mean(column.key)) for row in result.rows]
    if column.unit == "runs":  # Student's t does not apply to zeros and ones
        dots = [Dot(dot.value) for dot in dots]
    panels = [Panel(column.heading, dots, share=column.unit in ("share", "runs"))]
    if result.printed and any(number_in(row.printed.get(result.printed[0], "")) for row in result.rows):
        heading = result.printed[0]
        panels.append(Panel(heading, [Dot(number_in(row.printed.get(heading, ""))) for row in result.rows]))
    return panels


def _dot(mean: MeanInterval | None) -> Dot:
    return Dot(None) if mean is None else Dot(mean.mean, mean.half_width)


def _table(result: PaperResult) -> list[list[object]]:
    """A line for each row: mean, half width of the interval and values by seed of each column; the printed cells."""
    header: list[object] = ["name"]
    for column in result.columns:
        header += [column.key, f"{column.key}_half_width", *(f"{column.key}_seed{seed}" for seed in result.seeds)]
    header += [*result.printed, "note"]
    return [header, *(_line(result, row) for row in result.rows)]


def _line(result: PaperResult, row: Row) -> list[object]:
    line: list[object] = [row.name]
    for column in result.columns:
        mean = row.mean(column.key)
        values = row.values.get(column.key, ())
        line += [_number(mean.mean), _number(mean.half_width)] if mean else ["", ""]
        line += [_number(values[number] if number < len(values) else None) for number in range(len(result.seeds))]
    return [*line, *(row.printed.get(heading, "") for heading in result.printed), row.note]


def _curves(result: PaperResult) -> list[list[object]]:
    """A line for each generation of each curve."""
    lines: list[list[object]] = [
        ["curve", "generation", "mean", "half_width", *(f"seed{seed}" for seed in result.seeds)]
    ]
    for curve in result.curves:
        for number, mean in enumerate(curve.means()):
            by_seed = [run[min(number, len(run) - 1)] for run in curve.runs]
            lines.append([curve.name, number + 1, *map(_number, (mean.mean, mean.half_width, *by_seed))])
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def _csv(lines: Sequence[Sequence[object]]) -> bytes:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()
