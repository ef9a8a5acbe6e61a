"""What tests of spaces of models share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from toolchain.nets.model_space.derive import model_space
from toolchain.nets.model_space.weights import builder_of_model
from toolchain.spaces.core import SearchSpace

Randomized = Callable[[str], tuple[SearchSpace, nn.Module]]


def randomized_model(name: str) -> tuple[SearchSpace, nn.Module]:
    """A space and its model, whose normalizations and scales have values as after training."""
    space = model_space(f"model:torchvision:{name}:size_px=64,classes=10")
    builder = builder_of_model(space)
    assert builder is not None
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in builder.model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 2)
                layer.bias.normal_()
                assert isinstance(layer.running_mean, Tensor)
                assert isinstance(layer.running_var, Tensor)
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
        for key, value in builder.model.named_parameters():
            if key.endswith("layer_scale"):
                value.uniform_(0.5, 1)
    return space, builder.model.eval()


@pytest.fixture
def randomized() -> Randomized:
    """`randomized("resnet18")`: see `randomized_model`."""
    return randomized_model
