"""A supernet of a model: the model's own function at full width, slices of sorted weights, costs."""

from collections.abc import Callable
from random import Random

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from toolchain.costs.counters import macs_cost, params_cost
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.weights import load_into_supernet, model_weights, network_state
from toolchain.nets.network import Network
from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.model_source import full_architecture

Randomized = Callable[[str], tuple[SearchSpace, nn.Module]]
TOLERANCE = 1e-5  # relative, float32: sums of permuted channels differ in their rounding
SMALL = ("resnet18", "mobilenet_v2", "mobilenet_v3_small")
LARGE = (
    "resnet34",
    "resnet50",
    "wide_resnet50_2",
    "resnext50_32x4d",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "regnet_y_400mf",
    "mnasnet1_0",
    "shufflenet_v2_x1_0",
    "convnext_tiny",
)
MODELS = [*SMALL, *(pytest.param(name, marks=pytest.mark.long) for name in LARGE)]


@pytest.mark.parametrize("name", MODELS)
def test_full_network_computes_the_model_with_sorted_weights(name: str, randomized: Randomized) -> None:
    space, model = randomized(name)
    net = Network(space, full_architecture(space), STANDALONE).eval()
    net.load_state_dict(network_state(space, model_weights(space, model.state_dict()), full_architecture(space)))
    images = torch.randn(2, *space.input_shape)
    with torch.no_grad():
        expected, actual = model(images), net(images)
    assert float((expected - actual).abs().max() / expected.abs().max()) < TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_paths_are_extracted_and_counted_exactly(name: str, randomized: Randomized) -> None:
    space, model = randomized(name)
    supernet = Supernet(space).eval()
    load_into_supernet(model_weights(space, model.state_dict()), supernet)
    macs, params, rng = macs_cost(space), params_cost(space), Random(0)
    images = torch.randn(2, *space.input_shape)
    for arch in (full_architecture(space), space.draw(rng), space.draw(rng)):
        net = supernet.extract(arch)
        with torch.no_grad():
            assert torch.equal(supernet(images, arch), net(images))
        alone = Network(space, arch, STANDALONE).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            alone(images[:1])
        assert counter.get_total_flops() == 2 * macs.cost(arch)
        assert sum(value.numel() for value in alone.parameters()) == params.cost(arch)
    assert params.cost(full_architecture(space)) == sum(value.numel() for value in model.parameters())
