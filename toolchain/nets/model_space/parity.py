"""Check that the network that was built from a model's graph computes what the model does.

A graph shows what the forward function did while it was traced. What it does not show would be lost without a word:
operations in place on a tensor that has another name too, attributes of layers that are built alike, values that were
read once.
"""

import copy
from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor, nn

from exporters.errors import first_line
from toolchain.errors import UnknownSpace
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.importance import Magnitude
from toolchain.nets.model_space.weights import ModelWeights, builder_of_model, network_state, sorted_by
from toolchain.nets.network import Network
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.spaces.model_source import SKIP, full_architecture

TOLERANCE = 1e-3  # of the largest logit: sums in another order differ by 1e-6
MIN_LOGIT = 1e-12
IMAGES = 2
SEED = 0


@torch.no_grad()
def check_parity(space: SearchSpace) -> None:
    """Compare both on random images, and run the narrowest network.

    Scales, offsets and statistics are random in place of initial zeros and ones, which would hide differences; where
    the logits are not finite then, they are the initial ones.

    Raises:
        UnknownSpace: the logits differ, or the model or its narrowest network fails.
    """
    builder = builder_of_model(space)
    assert builder is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        images = torch.randn(IMAGES, *space.input_shape)
        changed = {name: _lively(name, value) for name, value in builder.model.state_dict().items()}
    for values in (changed, builder.model.state_dict()):
        difference = _difference(space, builder.model, values, images)
        if difference is not None:
            break
    if difference is not None and not difference <= TOLERANCE:
        raise UnknownSpace(
            f"{space.name}: the network that was built from the model's graph computes something else than the model "
            f"(relative difference of the logits {difference:.1e}), so it cannot be shrunk. Usual reasons: an "
            f"operation in place (+=, relu_, inplace=True) on a tensor that has another name too, random numbers in "
            f"evaluation, hooks, or a layer of your own that is not linear in its weights. Write it without these"
        )
    _logits(Network(space, _narrowest(space), STANDALONE).eval(), images, f"{space.name}: the narrowest network")


def _difference(space: SearchSpace, original: nn.Module, values: Mapping[str, Tensor], images: Tensor) -> float | None:
    """The greatest difference of the logits relative to the greatest logit; None if that is not finite."""
    model = copy.deepcopy(original).eval()
    for name, value in model.state_dict().items():
        value.copy_(values[name])
    net = Network(space, full_architecture(space), STANDALONE).eval()
    net.load_state_dict(network_state(space, sorted_by(Magnitude(values), space, ModelWeights(values))))
    expected, actual = (_logits(module, images, f"{space.name}: the model") for module in (model, net))
    largest = float(expected.abs().max())
    return float((expected - actual).abs().max()) / max(largest, MIN_LOGIT) if isfinite(largest) else None


def _narrowest(space: SearchSpace) -> Architecture:
    """The last width of each block; `skip` follows it."""
    return space.architecture(
        [[choice.key for choice in block.choices if choice.op != SKIP][-1] for block in space.blocks]
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


def _logits(module: nn.Module, images: Tensor, subject: str) -> Tensor:
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            logits = module(images.clone())
    except Exception as problem:  # whatever the user's model raises
        text = first_line(problem)
        raise UnknownSpace(f"{subject} fails on random images: {text}. Correct the forward function") from None
    assert isinstance(logits, Tensor)
    return logits
