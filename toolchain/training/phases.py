"""The phases of a training: that of its recipe, and those that `train --more-epochs` adds after it has ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from toolchain.files import Document
from toolchain.training.recipe import Recipe


class AddedEpochs(Document):
    """Epochs that were added when the training had ended after `step` updates."""

    step: int
    epochs: float


ADDED = TypeAdapter(tuple[AddedEpochs, ...])  # as fingerprints hold them


@dataclass(frozen=True)
class Phase:
    """A part of a training between two ends, in updates from its beginning."""

    begin: int
    end: int


def last_phase(recipe: Recipe, images: int, added: Sequence[AddedEpochs]) -> Phase:
    """The phase that a training on so many images is in.

    The learning rate of an added phase is that of a training which was as long from the beginning.
    """
    if not added:
        return Phase(0, recipe.steps(images))
    last = added[-1]
    return Phase(last.step, last.step + recipe.with_epochs(last.epochs).steps(images))
