"""Amounts as text (`17ms`, `330M`, `6.2G`) to numbers, and back. Text is used at the command line only."""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import floor
from typing import TypeVar

from toolchain.errors import BadUnit

Number = TypeVar("Number", int, float)

MS_PER_UNIT = {"us": 1e-3, "ms": 1.0, "s": 1e3}
SECONDS_PER_UNIT = {"ms": 1e-3, "s": 1.0, "min": 60.0}
COUNT_PER_UNIT = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

RANGE_STEPS = 5
MAX_SEEDS = 100
MAX_RANGE_STEPS = 100
MAX_WRITTEN_OUT = 10**15
MOST = 10**13  # feasible sets are counted in int64, latencies there in units of 10 ns

_AMOUNT = re.compile(r"([+-]?(?:\d{1,3}(?:,\d{3}){1,12}|\d{1,40})(?:\.\d{1,40})?)\s*([A-Za-z]*)")


def parse_latency_ms(text: str) -> float:
    """`17ms`, `0.5s` or `900us` in milliseconds.

    Raises:
        BadUnit: no unit (seconds and milliseconds have been confused before), an unknown one, or not above 0.
    """
    number, unit = _split(text, "latency", "17ms")
    if unit not in MS_PER_UNIT:
        problem = "has no unit" if not unit else f"has the unknown unit {unit!r}"
        raise BadUnit(f"latency {text!r} {problem}. Write us, ms or s, as in --latency {float(number):g}ms")
    return _above_zero(float(number) * MS_PER_UNIT[unit], text, "latency", "--latency 17ms")


def parse_seconds(text: str, what: str = "time") -> float:
    """`60s`, `500ms` or `5min` in seconds; `0s` too. `what` it is, for messages.

    Raises:
        BadUnit: no unit, or an unknown one, or below 0.
    """
    number, unit = _split(text, what, "60s")
    if unit not in SECONDS_PER_UNIT:
        problem = "has no unit" if not unit else f"has the unknown unit {unit!r}"
        raise BadUnit(f"{what} {text!r} {problem}. Write ms, s or min, as in {float(number):g}s")
    if number < 0:
        raise BadUnit(f"{what} {text!r} is below zero. Write it as in 60s")
    return float(number) * SECONDS_PER_UNIT[unit]


def parse_count(text: str, what: str = "count") -> int:
    """`330M` or `330000000` as an integer; `Ki`, `Mi` and `Gi` are powers of 2.

    A prefix may leave a fraction of one, as in `6.32Gi`. It is cut off: no count between lies within the limit.

    Raises:
        BadUnit: an unknown unit, a fraction without one, or not 1 or more.
    """
    flag = what.replace("_", "-")
    number, unit = _split(text, what, "330M")
    if unit not in COUNT_PER_UNIT:
        units = ", ".join(filter(None, COUNT_PER_UNIT))
        raise BadUnit(f"{what} {text!r} has the unknown unit {unit!r}. Write one of {units}, as in --{flag} 330M")
    if not unit and number.denominator != 1:
        raise BadUnit(f"{what} {text!r} is no whole number. Write it as in --{flag} 330M")
    return int(_above_zero(floor(number * COUNT_PER_UNIT[unit]), text, what, f"--{flag} 330M"))


def parse_percent(text: str, example: str = "5%") -> float:
    """`5%` as the fraction 0.05. `example` is a valid percentage, for messages.

    Raises:
        BadUnit: without the percent sign, or not above 0.
    """
    number, unit = _split(text.strip().removesuffix("%"), "percentage", example)
    if unit or not text.strip().endswith("%"):
        raise BadUnit(f"percentage {text!r} cannot be read. Write it as in {example}")
    return _above_zero(float(number) / 100, text, "percentage", example)


def expand(texts: Sequence[str], parse: Callable[[str], Number]) -> tuple[Number, ...]:
    """The amounts in `texts`: single ones (`17ms`) and ranges (`13ms..22ms`, `13ms..22ms/4`).

    A range is five evenly spaced amounts, or the number behind the slash.

    Raises:
        BadUnit: an amount or a range is not valid.
    """
    amounts: list[Number] = []
    for text in texts:
        first, dots, rest = text.partition("..")
        last, slash, steps = rest.partition("/")
        if not dots:
            amounts.append(parse(text))
            continue
        if not first.strip() or not last.strip():
            raise BadUnit(f"the range {text!r} has only one end. Write both, as in 13ms..22ms")
        low, high, count = parse(first), parse(last), _steps(steps, text) if slash else RANGE_STEPS
        if low >= high:
            raise BadUnit(f"the range {text!r} is empty. Write the smaller end first, as in 13ms..22ms")
        amounts += [type(low)(low + (high - low) * i / (count - 1)) for i in range(count)]
    return tuple(dict.fromkeys(amounts))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds as `0..4` (0, 1, 2, 3 and 4) or `0,3,7`.

    Raises:
        BadUnit: it is neither, or has more than `MAX_SEEDS`.
    """
    parts = re.fullmatch(r"([0-9]{1,9})\.\.([0-9]{1,9})", text.strip())
    if parts:
        seeds = tuple(range(int(parts[1]), int(parts[2]) + 1)[: MAX_SEEDS + 1])
    elif re.fullmatch(r"[0-9]{1,9}(\s*,\s*[0-9]{1,9})*", text.strip()):
        seeds = tuple(dict.fromkeys(map(int, text.split(","))))
    else:
        seeds = ()
    if not 1 <= len(seeds) <= MAX_SEEDS:
        raise BadUnit(f"the seeds {text!r} cannot be read. Write 1 to {MAX_SEEDS} of them, as in 0..4 or 0,3,7")
    return seeds


def _steps(text: str, of_range: str) -> int:
    """The number behind the slash of a range.

    Raises:
        BadUnit: it is not a whole number from 2 to `MAX_RANGE_STEPS`.
    """
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 2 <= int(text) <= MAX_RANGE_STEPS:
        raise BadUnit(f"the range {of_range!r} has {text!r} steps. Write 2 to {MAX_RANGE_STEPS}, as in 13ms..22ms/4")
    return int(text)


def compact(value: float, unit: str) -> str:
    """An amount in the fewest letters, for file names: `17ms`, `330M`, `6.32Gi`; of several with the largest unit."""
    if unit == "ms":
        return f"{value:.5g}ms"
    fitting = [prefix for prefix, size in reversed(COUNT_PER_UNIT.items()) if value >= size or not prefix]
    return min((f"{value / COUNT_PER_UNIT[prefix]:.6g}{prefix}" for prefix in fitting), key=len)


def format_ms(ms: float) -> str:
    """Milliseconds with the digits that a reader can use."""
    return f"{ms:.3f} ms" if ms < 10 else f"{ms:.1f} ms"


def format_count(count: float) -> str:
    """A count with its decimal unit: 318729024 -> `318.73M`."""
    for unit in ("G", "M", "k"):
        if count >= COUNT_PER_UNIT[unit]:
            return f"{count / COUNT_PER_UNIT[unit]:.2f}{unit}"
    return f"{count:g}"


def format_number(count: int) -> str:
    """A whole number in full, or of more than 15 digits in powers of ten: `1,234`, `1.268e+30`."""
    return f"{count:,}" if count < MAX_WRITTEN_OUT else f"{count:.4g}"


def format_binary(count: float) -> str:
    """A count in units of 2^30, as the paper prints BitOps, or of 2^20: 6782189568 -> `6.316Gi`."""
    unit = "Gi" if count >= COUNT_PER_UNIT["Gi"] / 10 else "Mi"
    return f"{count / COUNT_PER_UNIT[unit]:.3f}{unit}"


def _split(text: str, what: str, example: str) -> tuple[Fraction, str]:
    """The number, exactly (as a float 1.001 is a little less, and 1.001k would lose one), and its unit."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise BadUnit(f"{what} {text!r} is not an amount. Write it as in {example}")
    return Fraction(match[1].replace(",", "")), match[2]


def _above_zero(value: float, text: str, what: str, example: str) -> float:
    if value <= 0:
        raise BadUnit(f"{what} {text!r} is not above zero. Write it as in {example}")
    if value > MOST:
        raise BadUnit(f"{what} {text!r} is more than anything here can cost. Write a smaller one")
    return value


def first_of(names: Sequence[str], shown: int = 3) -> str:
    """The first names of a list for a message: `a, b, c and 5 more`."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
