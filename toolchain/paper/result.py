"""A table or figure of the paper as measured here: rows and curves with a value for each seed."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from toolchain.files import Document
from toolchain.training.mean_interval import MeanInterval, mean_interval
from toolchain.units import format_binary, format_count

Unit = Literal["share", "runs", "MACs", "BitOps", "ms", "MiB", "ratio", "device-days"]
NONE = "none"


class Column(Document):
    """What is measured of each row.

    Args:
        key: of the values in a row, such as `test_accuracy`.
    """

    key: str
    heading: str
    unit: Unit


TEST_ACCURACY = Column(key="test_accuracy", heading="test accuracy", unit="share")
MACS = Column(key="macs", heading="MACs", unit="MACs")


class Row(Document):
    """A line of the table.

    Args:
        values: by the key of the column, one for each seed; None where a seed has no result.
        printed: what the paper prints, by heading.
        note: why a value is missing, or what it was measured under.
    """

    name: str
    values: dict[str, tuple[float | None, ...]]
    printed: dict[str, str] = Field(default_factory=dict)
    note: str = ""

    def mean(self, key: str) -> MeanInterval | None:
        """The mean over the seeds that have a value; None if none has."""
        known = [value for value in self.values.get(key, ()) if value is not None]
        return mean_interval(known) if known else None


class Curve(Document):
    """A line of a figure.

    Args:
        runs: for each seed, a share (0 to 1) for each generation.
    """

    name: str
    runs: tuple[tuple[float, ...], ...]

    def means(self) -> list[MeanInterval]:
        """Of each generation, over the seeds; a seed whose space was exhausted early keeps its last value."""
        length = max(map(len, self.runs))
        return [mean_interval([run[min(number, len(run) - 1)] for run in self.runs]) for number in range(length)]


class Claim(Document):
    """What the paper says of two rows: `better` has a higher value than `worse`."""

    better: str
    worse: str
    key: str


class PaperResult(Document):
    """The content of result.json.

    Args:
        name: `table3`.
        command: that measures this table with the same settings.
        drawn: key of the column that the picture shows.
        printed: headings of the printed columns; the picture shows the first.
        claims: of the paper, which `statements` compares with the rows.
        notes: further sentences about the table.
        machine: the device that trained and measured.
    """

    schema_version: Literal[1] = 1
    name: str
    title: str
    preset: str
    command: str
    space: str
    data: str
    machine: str
    seeds: tuple[int, ...]
    columns: tuple[Column, ...]
    drawn: str
    printed: tuple[str, ...] = ()
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...] = ()
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()

    def column(self, key: str) -> Column:
        """The column with this key."""
        return next(column for column in self.columns if column.key == key)

    def texts(self) -> list[list[str]]:
        """The table as it is shown: the headings, and the cells of each row."""
        noted = any(row.note for row in self.rows)
        headings = ["", *(column.heading for column in self.columns), *self.printed, *(["note"] if noted else [])]
        return [headings, *(self._cells(row, noted) for row in self.rows)]

    def _cells(self, row: Row, noted: bool) -> list[str]:
        measured = [cell(row.mean(column.key), column.unit) for column in self.columns]
        printed = [row.printed.get(heading, "not printed") for heading in self.printed]
        return [row.name, *measured, *printed, *([row.note] if noted else [])]

    @property
    def statements(self) -> tuple[str, ...]:
        """For each claim, the paired difference over seeds, and whether it shows."""
        rows = {row.name: row for row in self.rows}
        return tuple(
            _statement(claim, rows[claim.better], rows[claim.worse])
            for claim in self.claims
            if claim.better in rows and claim.worse in rows
        )


def cell(mean: MeanInterval | None, unit: Unit) -> str:
    """A mean with its interval: `91.20% +- 0.31`; `none` without a value. Counted costs are shown without one.

    Of `runs`, values of 0 and 1: `2 of 3 runs`.
    """
    if mean is None:
        return NONE
    if unit == "runs":
        return f"{round(mean.mean * mean.count)} of {mean.count} runs"
    if not mean.half_width or unit in ("MACs", "BitOps"):
        return amount(mean.mean, unit)
    value, half_width = amount(mean.mean, unit).removesuffix(f" {unit}"), amount(mean.half_width, unit)
    return f"{value} +- {half_width.removesuffix('%')}"


def amount(value: float, unit: Unit) -> str:
    """A value with its unit."""
    if unit in ("share", "runs"):
        return f"{value:.2%}"
    if unit == "MACs":
        return format_count(value)
    if unit == "BitOps":
        return format_binary(value)
    return f"{value:.2f}" if unit == "ratio" else f"{value:.3g} {unit}"


def count_seeds(count: int) -> str:
    """`1 seed` or `3 seeds`."""
    return "1 seed" if count == 1 else f"{count} seeds"


def number_in(text: str) -> float | None:
    """The first number of a printed cell, `~73.7` as 73.7; None if it has none."""
    match = re.search(r"\d+(\.\d+)?", text)
    return None if match is None else float(match[0])


def printed_rows(rows: Mapping[str, Sequence[str]], headings: Sequence[str]) -> dict[str, dict[str, str]]:
    """The printed cells of each row by heading."""
    return {name: dict(zip(headings, cells, strict=True)) for name, cells in rows.items()}


def _statement(claim: Claim, better: Row, worse: Row) -> str:
    pairs = zip(better.values.get(claim.key, ()), worse.values.get(claim.key, ()), strict=False)
    differences = [100 * (first - second) for first, second in pairs if first is not None and second is not None]
    subject = f"{claim.better} minus {claim.worse}"
    if not differences:
        return f"{subject}: no seed has both"
    mean = mean_interval(differences)
    seeds = count_seeds(mean.count)
    if mean.half_width is None:
        return f"{subject}: {mean.mean:+.2f} points ({seeds}, so the noise is not known)"
    if abs(mean.mean) <= mean.half_width:
        verdict = "no difference shows at this scale"
    else:
        verdict = "the paper's order shows" if mean.mean > 0 else "the opposite of the paper's order shows"
    return f"{subject}: {mean.mean:+.2f} +- {mean.half_width:.2f} points ({seeds}): {verdict}"
