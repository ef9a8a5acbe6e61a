"""Checks of a search space's numbers: the options of the built-in spaces, and the definition in a user's file.

All functions raise ValueError with a sentence that names the option or block. Callers add the name of the space.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from math import isfinite
from typing import Any

from toolchain.spaces.core import FLOAT_BITS, Choice, ChoiceBlock, Head, SearchSpace, Stem

MAX_COUNT = 1_000_000  # channels, classes, pixels
MAX_BLOCKS = 1_000
MAX_WIDTH = 16.0  # multiple of a block's default mid channels
STRIDES = (1, 2)
MAX_DIGITS = 30  # of a number in a message


def check_options(options: Any) -> None:
    """Check every number of a built-in space's `Options` against its range, and the number of blocks.

    Raises:
        ValueError: a number is out of range, or a list is empty or repeats an entry.
    """
    check_numbers(options)
    blocks = sum(options.stage_repeats)
    if blocks > MAX_BLOCKS:
        raise ValueError(f"stage_repeats add up to {blocks:,} blocks; the maximum is {MAX_BLOCKS:,}")


def check_numbers(options: Any) -> None:
    """Check every number of a dataclass of options against its range.

    Raises:
        ValueError: a number is out of range, or a list is empty or repeats an entry.
    """
    for option in fields(options):
        value = getattr(options, option.name)
        for number in value if isinstance(value, tuple) else (value,):
            _check_number(option.name, number)
        if option.name in ("ops", "widths", "bits"):
            check_distinct(option.name, [f"{entry:g}" if isinstance(entry, float) else entry for entry in value])


def check_stages(**lists: Sequence[int]) -> None:
    """Check that the per-stage lists have one entry for each stage.

    Raises:
        ValueError: the lists differ in length.
    """
    if len({len(entries) for entries in lists.values()}) != 1:
        counts = ", ".join(f"{len(entries)} {name}" for name, entries in lists.items())
        raise ValueError(f"{counts}: each stage needs one entry in each list")


def check_known(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    """Check that all `names` are in `known`.

    Raises:
        ValueError: some are not; the message lists them and the known ones.
    """
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"unknown {what}: {', '.join(map(repr, unknown))}. Known: {', '.join(known)}")


def check_distinct(name: str, entries: Sequence[str]) -> None:
    """Check that a list of alternatives has at least one entry and no duplicates.

    Raises:
        ValueError: it is empty or has duplicates.
    """
    if not entries or len(set(entries)) != len(entries):
        raise ValueError(f"{name} must have at least one entry and no duplicates")


def choice_of_width(choice: Choice, default: int, round_to: int) -> Choice:
    """`choice` with `round_to`, unless truncation gives the same mid channels.

    The second keeps digests, and shares latency records with spaces that truncate.
    """
    changed = replace(choice, round_to=round_to)
    return choice if choice.mid(default) == changed.mid(default) else changed


def check_mid_channels(widths: Sequence[float], defaults: Iterable[int], round_to: int) -> None:
    """Check that each block has mid channels, and more of them for a greater width.

    Args:
        defaults: the default mid channels of the blocks.

    Raises:
        ValueError: a width leaves a block without mid channels, or two widths are rounded to the same number of them
            or to the reverse order.
    """
    for default in sorted(set(defaults)):
        mids = [(width, Choice("", width, round_to=round_to).mid(default)) for width in sorted(widths)]
        if mids[0][1] < 1:
            raise ValueError(f"width {mids[0][0]:g} leaves a block of {default} default mid channels without any")
        for (narrow, fewer), (wide, more) in pairwise(mids):
            if round_to > 1 and fewer >= more:
                counts = f"both give {more}" if fewer == more else f"give {fewer} and {more}"
                raise ValueError(
                    f"widths {narrow:g} and {wide:g} {counts} mid channels in a block whose default is {default} "
                    f"(round_to={round_to}). Omit one of them, or set round_to=1 for the paper's truncation"
                )


def check_space(space: SearchSpace, own_stem: bool) -> None:
    """Check a space's definition: types, ranges, and that each block takes what the block before it gives.

    Args:
        own_stem: the stem is the user's own module, whose output size is not known from `space.stem`.

    Raises:
        ValueError: the first problem.
    """
    _check_fields(space)
    for number, block in enumerate(space.blocks):
        _check_block(number, block)
    first, stem = space.blocks[0], space.stem
    if first.c_in != stem.c_out:
        raise ValueError(f"block 0 has c_in={first.c_in}, but the stem gives {stem.c_out} channels")
    if not own_stem and first.size_px != space.stem_px:
        raise ValueError(f"block 0 has size_px={first.size_px}, but the stem gives maps of {space.stem_px} px")
    for number, (before, block) in enumerate(pairwise(space.blocks), 1):
        if block.c_in != before.c_out:
            raise ValueError(
                f"block {number} has c_in={block.c_in}, but block {number - 1} gives {before.c_out} channels"
            )
        if block.size_px != before.out_px:
            raise ValueError(
                f"block {number} has size_px={block.size_px}, but block {number - 1} gives maps of {before.out_px} px"
            )


def _check_number(name: str, number: Any) -> None:
    if isinstance(number, bool | str):
        return
    if name in ("stem_stride", "stage_strides"):
        allowed, text = number in STRIDES, "1 or 2"
    elif name == "dropout":
        allowed, text = 0 <= number < 1, "0 or more and below 1"
    elif name == "multiplier":
        allowed, text = 0.1 <= number <= 10, "between 0.1 and 10"
    elif isinstance(number, float):
        allowed, text = 0 < number <= MAX_WIDTH, f"above 0 and at most {MAX_WIDTH:g}"
    else:
        allowed, text = 1 <= number <= MAX_COUNT, f"between 1 and {MAX_COUNT:,}"
    if not allowed:
        raise ValueError(f"{name} is {_shortened(number)}; it must be {text}")


def _shortened(number: float) -> str:
    text = f"{number:g}" if isinstance(number, float) else str(number)
    return text if len(text) <= MAX_DIGITS else f"{text[:MAX_DIGITS]}..."


def _check_fields(space: SearchSpace) -> None:
    for name in ("name", "family"):
        if not isinstance(getattr(space, name), str) or not getattr(space, name):
            raise ValueError(f"{name} must be a non-empty text")
    for name in ("in_channels", "size_px", "classes"):
        _check_count(name, getattr(space, name))
    for name, kind in (("stem", Stem), ("head", Head)):
        if not isinstance(getattr(space, name), kind):
            raise ValueError(f"{name} must be a {kind.__name__}")
    _check_count("the stem's c_out", space.stem.c_out)
    _check_count("the stem's stride", space.stem.stride)
    _check_count("the stem's kernel", space.stem.kernel)
    _check_count("the stem's conv_channels", space.stem.conv_channels, least=0)
    _check_count("the head's channels", space.head.channels, least=0)
    if not _is_number(space.head.dropout) or not 0 <= space.head.dropout < 1:
        raise ValueError(f"the head's dropout is {space.head.dropout!r}; it must be 0 or more and below 1")
    if not isinstance(space.blocks, tuple) or not 1 <= len(space.blocks) <= MAX_BLOCKS:
        raise ValueError(f"blocks must be a tuple of 1 to {MAX_BLOCKS:,} ChoiceBlocks")


def _check_block(number: int, block: object) -> None:
    if not isinstance(block, ChoiceBlock):
        raise ValueError(f"block {number} is a {type(block).__name__}; it must be a ChoiceBlock")
    for name in ("c_in", "c_out", "size_px", "stride"):
        _check_count(f"{name} of block {number}", getattr(block, name))
    if not isinstance(block.choices, tuple) or not all(isinstance(choice, Choice) for choice in block.choices):
        raise ValueError(f"the choices of block {number} must be a tuple of Choices")
    for choice in block.choices:
        _check_choice(number, choice)
    check_distinct(f"the choices of block {number}", [choice.key for choice in block.choices])


def _check_choice(number: int, choice: Choice) -> None:
    op = choice.op
    if not isinstance(op, str) or not op.isprintable() or not op or any(mark in op for mark in " ,@:."):
        raise ValueError(
            f"the op {op!r} of block {number} cannot be used in an architecture's text: choose a name of printable "
            f"characters without space, comma, '@', ':' and '.'"
        )
    if not _is_number(choice.width) or not 0 < choice.width <= MAX_WIDTH:
        raise ValueError(
            f"the width of {op} in block {number} is {choice.width!r}; it must be above 0 and at most {MAX_WIDTH:g}"
        )
    _check_count(f"round_to of {op} in block {number}", choice.round_to)
    for bits in (choice.w_bits, choice.a_bits):
        if not isinstance(bits, int) or not 1 <= bits <= FLOAT_BITS:
            raise ValueError(f"{op} in block {number} has {bits!r} bits; they must be between 1 and {FLOAT_BITS}")


def _check_count(what: str, number: object, least: int = 1) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= MAX_COUNT:
        raise ValueError(f"{what} is {number!r}; it must be a whole number between {least} and {MAX_COUNT:,}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
