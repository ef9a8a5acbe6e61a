"""The model that a space was derived from, with the user's weights."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from toolchain.errors import BadCheckpoint, BadConfig
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.weights import (
    ModelWeights,
    builder_of_model,
    model_weights,
    network_state,
    original_space,
)
from toolchain.nets.network import Network
from toolchain.nets.weight_files import read_weights
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.spaces.model_source import full_architecture
from toolchain.spaces.user_file import printable_path

MODEL_FILE = "model.pt"  # in the folder of a retraining of the user's own model


def load_original(space: SearchSpace, weights: Path) -> Network:
    """The user's model of a space `model:...` with `weights` and all its channels, in eval mode.

    Raises:
        BadCheckpoint: the file cannot be read, its weights do not fit the model, or a layer would begin anew.
        BadConfig: the space was not derived from a model.
    """
    whole = original_space(space)
    read = _read(whole, weights)
    if read.notes:
        raise BadCheckpoint(
            f"{printable_path(weights)} is not trained for these images: {'; '.join(read.notes)}. "
            f"{train_first(space, printable_path(weights))}"
        )
    net = Network(whole, full_architecture(whole), STANDALONE)
    net.load_state_dict(network_state(whole, read))
    return net.eval()


def train_first(space: SearchSpace, weights: str) -> str:
    """What to do about weights that are not trained for the images."""
    return (
        f"Train the model first, with nastool retrain --space {original_space(space).name} --arch original --recipe "
        f"finetune --from {weights}, and give the {MODEL_FILE} that this writes"
    )


def sliced_weights(space: SearchSpace, weights: Mapping[str, Tensor], arch: Architecture) -> dict[str, Tensor]:
    """The most important channels of the model's `weights` for `arch`, by the names of its network.

    Raises:
        BadCheckpoint: the weights are not those of the model.
    """
    return network_state(space, model_weights(space, weights), arch)


def weight_notes(space: SearchSpace, weights: Path) -> tuple[str, ...]:
    """What is newly initialized since `weights` lack it, one sentence each; raises like `load_original`."""
    return _read(space, weights).notes


def _read(space: SearchSpace, weights: Path) -> ModelWeights:
    if builder_of_model(space) is None:
        raise BadConfig(f"{space.name} is not derived from a model. Give --space model:SOURCE")
    return model_weights(space, read_weights(weights))
