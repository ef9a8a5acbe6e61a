"""The weights that the training of a supernet starts from (`nastool train --from FILE`)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from toolchain.nets.model_space.weights import ModelWeights, builder_of_model, load_into_supernet, model_weights
from toolchain.nets.pretrained import load_float
from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import SearchSpace


def load_start(
    weights: Mapping[str, Tensor],
    supernet: Supernet,
    reorder: Callable[[ModelWeights], ModelWeights] | None = None,
) -> tuple[str, ...]:
    """Copy `weights`, as `read_weights` gives them, into a supernet: those of its model, or of a float ResNet.

    Args:
        reorder: sorts the channels of a model's weights; default: they stay sorted by magnitude.

    Returns:
        what was changed to make them fit, one sentence each.

    Raises:
        BadCheckpoint: the weights do not fit the space; nothing is copied.
    """
    if builder_of_model(supernet.space) is None:
        load_float(weights, supernet)
        return ()
    fitting = model_weights(supernet.space, weights)
    if reorder is not None:
        fitting = reorder(fitting)
    load_into_supernet(fitting, supernet)
    return fitting.notes


def check_start(weights: Mapping[str, Tensor], space: SearchSpace) -> tuple[str, ...]:
    """Check that `load_start` can copy `weights`.

    Returns:
        what it will change to make them fit, one sentence each.

    Raises:
        BadCheckpoint: the weights do not fit the space.
    """
    if builder_of_model(space) is not None:
        return model_weights(space, weights).notes
    with torch.device("meta"):  # names and shapes are checked, and no values are kept
        supernet = Supernet(space)
    load_float(weights, supernet)
    return ()
