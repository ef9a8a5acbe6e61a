"""Which channels of a model keep their width and why, for people."""

from itertools import groupby
from typing import TYPE_CHECKING

from toolchain.spaces.core import SearchSpace

if TYPE_CHECKING:
    from toolchain.nets.model_space.builder import ModelBuilder


MAX_NOTES = 3  # of the channels between blocks, of which each is about one layer


def space_notes(space: SearchSpace) -> list[str]:
    """A sentence for each reason, with the blocks that it holds for; empty for spaces that no model is behind."""
    if space.builder is None:  # built in, so that nothing of torch is imported
        return []
    from toolchain.nets.model_space.weights import builder_of_model

    builder = builder_of_model(space)
    if builder is None:
        return []
    return [*between_notes(space), *_notes_of_blocks(builder)]


def between_notes(space: SearchSpace) -> list[str]:
    """What the option `between` leaves of the channels that no block chooses; empty without it."""
    from toolchain.nets.model_space.weights import narrowing_of

    narrowing = narrowing_of(space)
    if narrowing is None:
        return []
    more = len(narrowing.notes) - MAX_NOTES
    others = [f"others keep their channels for {more} more reasons of this kind"] if more > 0 else []
    kept = f"between={narrowing.choice.width:g} keeps {narrowing.kept:,} of {narrowing.whole:,} channels between blocks"
    return [kept, *narrowing.notes[:MAX_NOTES], *others]


def _notes_of_blocks(builder: "ModelBuilder") -> list[str]:
    reasons = [(note, block.path or block.op) for block in builder.blocks for note in block.freedom.notes]
    ordered = sorted(reasons, key=lambda reason: [note for note, _ in reasons].index(reason[0]))
    return [
        f"{', '.join(path for _, path in group)}: {note}" for note, group in groupby(ordered, lambda reason: reason[0])
    ]
