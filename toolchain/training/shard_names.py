"""The names of shards: `wds:TRAIN;TEST`, each a pattern with braces."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from toolchain.errors import BadData

MAX_SHARDS = 100_000
RANGE_DIGITS = 12


@dataclass(frozen=True)
class ShardedData:
    """The patterns of training and test shards, and the ending of the members to train on, if it is named."""

    train: str
    test: str
    image_ending: str | None

    @classmethod
    def parse(cls, text: str) -> "ShardedData":
        """Read `TRAIN;TEST` or `TRAIN;TEST?image=ENDING`.

        Raises:
            BadData: it does not name training and test shards.
        """
        match = re.fullmatch(r"(?P<train>[^;]+);(?P<test>[^;]+?)(\?image=(?P<ending>[\w.-]+))?", text)
        if match is None:
            raise BadData(
                f"wds:{text} must name training shards and test shards, with a semicolon between them. Write "
                f"--data 'wds:data/train-{{000..146}}.tar;data/val-{{00..06}}.tar'"
            )
        ending = match["ending"]
        return cls(match["train"], match["test"], ending.lower().lstrip(".") if ending else None)


def expand(pattern: str) -> tuple[str, ...]:
    """The names that a pattern with braces expands to, as in a shell: `a-{000..146}.tar`, `{x,y}-{0..3}.tar`.

    Raises:
        BadData: a range counts down, or the names are too many.
    """
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    options: list[Sequence[str]] = []
    for position, piece in enumerate(pieces):
        if position % 2 == 0:
            options.append((piece,))
        elif match := re.fullmatch(r"(\d+)\.\.(\d+)", piece):
            options.append(_range(pattern, *match.groups()))
        else:
            options.append(piece.split(","))
    if prod(map(len, options)) > MAX_SHARDS:
        raise BadData(f"{pattern} names more than {MAX_SHARDS:,} shards. Name fewer, or pack more images in each")
    return tuple(map("".join, product(*options)))


def _range(pattern: str, first: str, last: str) -> Sequence[str]:
    if max(len(first), len(last)) > RANGE_DIGITS:
        raise BadData(f"{pattern} has a range with more than {RANGE_DIGITS} digits. Write a shorter one")
    numbers = range(int(first), int(last) + 1)
    if not numbers:
        raise BadData(f"{pattern} has a range that counts down: {first}..{last}. Write {{{last}..{first}}}")
    if len(numbers) > MAX_SHARDS:
        raise BadData(f"{pattern} names more than {MAX_SHARDS:,} shards. Name fewer, or pack more images in each")
    return [str(number).zfill(len(first)) for number in numbers]
