"""The only place that prints. Answers go to stdout, as tables or as one JSON document; all else to stderr.

Of several processes that run one command together, only the first prints.
"""

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

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
SCHEMA_VERSION = 1  # of the JSON answers: raised when a key is renamed, removed or changes its meaning

# Control characters, lone surrogates (bytes of a file name that is not UTF-8), and marks that reverse text
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PASSWORD = re.compile(r"(?<=[:/]/)([^\s:/@]+):\S*@|(?<=password=)[^\s&'\"]+", re.IGNORECASE)
_NUMBER = re.compile(r"\W*\d[\d,]*(\.\d+)?([eE][+-]?\d+)?([%\w]{0,3})?\W*")
_WORD = re.compile(r"\W?[^\W\d][\w-]{0,19}\W?")  # longer ones, as paths and digests, may be split
_CELL_EDGES = 3  # a space on each side, and a line

_out = Console(soft_wrap=True, quiet=silent())  # looks sys.stdout up when it prints
_err = Console(stderr=True, soft_wrap=True, quiet=silent())


def printable(text: object) -> str:
    """Text with control characters escaped (`\\x1b`) and without the passwords of addresses."""
    without_passwords = _PASSWORD.sub(lambda match: f"{match[1]}:***@" if match[1] else "***", str(text))
    return _UNPRINTABLE.sub(_escaped, without_passwords)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def answer_json(content: Mapping[str, object]) -> None:
    """One JSON document on stdout, with the version of its schema."""
    answer_text(json.dumps({"schema_version": SCHEMA_VERSION, **content}, indent=2))


def answer_text(text: str) -> None:
    """Text on stdout, unchanged."""
    if rank() == 0:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def answer_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; numbers should come formatted."""
    _print_table(_out, title, columns, rows)


def say_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stderr, for a question that follows."""
    _print_table(_err, title, columns, rows)


def answer_facts(title: str, facts: Mapping[str, object]) -> None:
    """Names and values on stdout."""
    _print_title(_out, title)
    _out.print(_facts(facts, _out.width))


def say(text: str) -> None:
    """Progress, warnings and hints on stderr, a line each."""
    for line in text.split("\n"):
        _err.print(escape(printable(line)), highlight=False)


def error(text: str) -> None:
    """Why the command failed. Of several processes, their launcher prints it."""
    if not launched():
        lines = "\n".join(map(printable, text.split("\n")))
        _err.print(f"[bold red]error:[/] {escape(lines)}", highlight=False)


def annotate(line: str) -> None:
    """A workflow command for GitHub, unchanged; GitHub reads both streams, and stdout is for answers."""
    sys.stderr.write(line + "\n")


def _print_title(console: Console, title: str) -> None:
    console.print(escape(printable(title)), style="italic", highlight=False)


def _print_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table, or each row as names and values where the terminal is too narrow for the words of a row."""
    _print_title(console, title)
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = _least_widths(list(zip(columns, *cells, strict=True)), console.width)
    if cells and widths is None:
        for row in cells:
            console.print(_facts(dict(zip(map(str, columns), row, strict=True)), console.width))
        return
    widths = widths or [1] * len(columns)
    table = Table()
    for name, width in zip(columns, widths, strict=True):
        table.add_column(escape(printable(name)), overflow="fold", min_width=width)  # a shortened id cannot be typed
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)


def _facts(facts: Mapping[str, object], room: int) -> Table:
    names, values = ([printable(text) for text in column] for column in (facts, facts.values()))
    table = Table(show_header=False)
    widths = _least_widths([names, values], room) or [_longest(_NUMBER, names), _longest(_NUMBER, values)]
    table.add_column(style="bold", min_width=widths[0])
    table.add_column(overflow="fold", min_width=widths[1])
    for name, value in zip(names, values, strict=True):
        table.add_row(escape(name), escape(value))
    return table


def _least_widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """The widths at which no number and no word is split across lines; None if they need more than `room`."""
    widths = [max(_longest(_NUMBER, column), _longest(_WORD, column)) for column in columns]
    return widths if sum(widths) + _CELL_EDGES * len(widths) + 1 <= room else None


def _longest(pattern: re.Pattern[str], texts: Sequence[str]) -> int:
    return max((len(word) for text in texts for word in text.split() if pattern.fullmatch(word)), default=1)


class Bars:
    """Progress bars with time left; on a pipe, a plain line every few seconds."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    def start(self, title: str, total: int, done: int = 0) -> "Bar | Lines":
        if not _err.is_terminal:
            return Lines(title, total, done)
        return Bar(self._bars, self._bars.add_task(escape(printable(title)), total=total, completed=done, note=""))

    def say(self, text: str) -> None:
        say(text)


class Bar:
    """One bar on a terminal."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._bars.update(self._task, advance=steps, note=printable(note))


class Lines:
    """The same on a pipe or in a log."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self._title, self._total, self._done, self._first = title, total, done, done
        self._began = self._printed = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._printed > PLAIN_LINE_EVERY_S or self._done == self._total:
            self._printed = now
            left_s = (now - self._began) * (self._total - self._done) / max(1, self._done - self._first)
            say(f"{self._title}: {self._done}/{self._total}, {left_s:.0f} s left  {note}")


@contextmanager
def progress() -> Iterator[Bars]:
    """Bars on stderr while the work lasts."""
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
