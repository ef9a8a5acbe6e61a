"""The only place that prints. Answers go to stdout, as tables or as one JSON document; all else to stderr.

Of several processes that do one command together, the first alone prints.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from toolchain.parallel.ranks import launched, rank, silent

PLAIN_LINE_EVERY_S = 5.0

_out = Console(soft_wrap=True, quiet=silent())  # looks sys.stdout up when it prints
_err = Console(stderr=True, soft_wrap=True, quiet=silent())


def answer_json(content: Mapping[str, Any]) -> None:
    """One JSON document on stdout."""
    answer_text(json.dumps(content, indent=2))


def answer_text(text: str) -> None:
    """Text on stdout, as it is."""
    if rank() == 0:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def answer_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; numbers should come formatted."""
    _out.print(_table(title, columns, rows))


def say_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for the person who is to decide."""
    _err.print(_table(title, columns, rows))


def answer_facts(title: str, facts: Mapping[str, object]) -> None:
    """Names and values on stdout."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, escape(str(value)))
    _out.print(table)


def say(text: str) -> None:
    """A line for the person who watches."""
    _err.print(escape(text), highlight=False)


def error(text: str) -> None:
    """Why the command ends here. The launcher of several processes shows the one that matters."""
    if not launched():
        _err.print(f"[bold red]error:[/] {escape(text)}", highlight=False)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")  # an id that is cut off can't be typed
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    return table


def annotate(line: str) -> None:
    """A workflow command for GitHub, as it is; it reads both streams, and stdout is for answers."""
    sys.stderr.write(line + "\n")


class Bars:
    """Progress bars with time left; on a pipe, a plain line every few seconds."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    def start(self, title: str, total: int, done: int = 0) -> "Bar | Lines":
        if not _err.is_terminal:
            return Lines(title, total, done)
        return Bar(self._bars, self._bars.add_task(title, total=total, completed=done, note=""))

    def say(self, text: str) -> None:
        say(text)


class Bar:
    """One bar on a terminal."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._bars.update(self._task, advance=steps, note=note)


class Lines:
    """The same on a pipe or in a log."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self._title, self._total, self._done, self._first = title, total, done, done
        self._began = self._told = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._told > PLAIN_LINE_EVERY_S or self._done == self._total:
            self._told = now
            left_s = (now - self._began) * (self._total - self._done) / max(1, self._done - self._first)
            say(f"{self._title}: {self._done}/{self._total}, {left_s:.0f} s left  {note}")


@contextmanager
def progress() -> Iterator[Bars]:
    """Bars on stderr for as long as the work lasts."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=_err, disable=not _err.is_terminal) as bars:
        yield Bars(bars)
