"""Check that the network that was built from a model's graph computes what the model does.

A graph shows what the forward function did while it was traced. What it does not show would be lost without a word:
operations in place on a tensor that has another name too, attributes of layers that are built alike, values that were
read once.
"""

import copy

import torch
from torch import Tensor, nn

from toolchain.errors import UnknownSpace
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.builder import ModelBuilder
from toolchain.nets.model_space.importance import Magnitude, sorted_weights
from toolchain.nets.model_space.weights import ModelWeights, network_state
from toolchain.nets.network import Network
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.model_source import full_architecture

TOLERANCE = 1e-3  # of the largest logit: sums in another order differ by 1e-6
IMAGES = 2
SEED = 0


@torch.no_grad()
def check_parity(space: SearchSpace) -> None:
    """Compare both on random images, with random scales, offsets and statistics in place of initial zeros and ones.

    Raises:
        UnknownSpace: the logits differ, or the model fails.
    """
    builder = space.builder
    assert isinstance(builder, ModelBuilder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = copy.deepcopy(builder.model).eval()
        values = model.state_dict()
        for name, value in values.items():
            value.copy_(_lively(name, value))
        images = torch.randn(IMAGES, *space.input_shape)
    net = Network(space, full_architecture(space), STANDALONE)
    sorted_values = sorted_weights(builder, values, Magnitude(values))
    net.load_state_dict(network_state(space, ModelWeights(sorted_values)))
    expected, actual = (_logits(module, images, space.name) for module in (model, net.eval()))
    difference = float((expected - actual).abs().max() / expected.abs().max().clamp_min(1e-12))
    if bool(torch.isfinite(expected).all()) and not difference <= TOLERANCE:
        raise UnknownSpace(
            f"{space.name}: the network that was built from the model's graph computes something else than the model "
            f"(relative difference of the logits {difference:.1e}), so it cannot be shrunk. Usual reasons: an "
            f"operation in place (+=, relu_, inplace=True) on a tensor that has another name too, random numbers in "
            f"evaluation, hooks, or a layer of your own that is not linear in its weights. Write it without these"
        )


def _lively(name: str, value: Tensor) -> Tensor:
    """A value that matters: initial scales of 1 or 1e-6 and offsets of 0 would hide differences."""
    if not value.is_floating_point():
        return value
    if name.endswith("running_var"):
        return torch.rand_like(value) + 0.5
    noise = torch.randn_like(value)
    if value.dim() <= 1 or bool((value == value.flatten()[0]).all()):
        return 1 + 0.2 * noise if bool(value.any()) else 0.2 * noise
    return value * (1 + 0.2 * noise)


def _logits(module: nn.Module, images: Tensor, name: str) -> Tensor:
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            logits = module(images.clone())
    except Exception as problem:  # whatever the user's model raises
        text = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise UnknownSpace(f"{name}: the model fails on random images: {text}. Correct its forward function") from None
    assert isinstance(logits, Tensor)
    return logits
