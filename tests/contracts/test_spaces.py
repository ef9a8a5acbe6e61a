"""Properties of every search space. To test another space, add a line to SPACES."""

from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from toolchain.costs.counters import count_macs, count_params, macs_cost, params_cost
from toolchain.nets.blocks import STANDALONE, SUPERNET
from toolchain.nets.checked_space import load_checked_space
from toolchain.nets.network import Network, initialize
from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.optimizer import build_optimizer, step
from toolchain.training.recipe import load_recipe

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MODELS = Path(__file__).parents[1] / "toolchain" / "nets" / "model_space" / "models.py"
MBCONV = "stem_channels=8,stage_widths=8-16-24,stage_repeats=1-2-1,stage_strides=1-2-2,head_channels=32"

SPACES = [
    "shufflenet_v2:size_px=64",
    "shufflenet_v2_quick",
    "shufflenet_v2_joint:size_px=32,classes=5,stage_widths=32-48,stage_repeats=2-2,head_channels=64",
    "shufflenet_v2_quick:size_px=17,in_channels=3,classes=7,stem_stride=1,stage_widths=22-30,stage_repeats=1-2",
    "shufflenet_v2_quick:stage_widths=22-30,stage_repeats=1-2,widths=0.5-1.0-1.6",
    "resnet18_bits:size_px=16,in_channels=1,classes=10,stem_kernel=3,stem_stride=1,stem_pool=false,"
    "stage_widths=8-12,stage_repeats=2-1",
    "resnet18_bits:size_px=24,classes=3,stage_widths=8-10,stage_repeats=1-1,widths=0.5-1.0,bits=float-w3a3,"
    "weights=dorefa",
    f"proxyless:size_px=32,classes=10,{MBCONV}",
    f"proxyless_gpu:size_px=33,in_channels=1,classes=6,stem_stride=1,{MBCONV}",
    f"fbnet:size_px=32,classes=10,{MBCONV}",
    f"fbnet:size_px=17,in_channels=1,classes=7,dropout=0.2,ops=k3e1g2-k5e3-skip,{MBCONV}",
    f"{EXAMPLES / 'my_space.py'}:my_space",
    "model:torchvision:mobilenet_v3_small:size_px=32,classes=5,in_channels=1",
    f"model:{MODELS}:same_pad:size_px=16",
    f"model:{MODELS}:preactivated:size_px=16",
]


@pytest.fixture(params=SPACES, ids=lambda text: text[-60:], scope="module")
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return load_checked_space(request.param)


@pytest.fixture(scope="module")
def supernet(space: SearchSpace) -> Supernet:
    net = Supernet(space)
    initialize(net, torch.Generator().manual_seed(0))
    return net


def images(space: SearchSpace, count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *space.input_shape, generator=generator)


@pytest.mark.parametrize("training", [True, False])
def test_supernet_equals_the_extracted_path_bit_for_bit(space: SearchSpace, supernet: Supernet, training: bool) -> None:
    supernet.train(training)
    x = images(space)
    for seed in range(6):
        arch = space.draw(Random(seed))
        torch.manual_seed(seed)  # dropout, in training
        shared = supernet(x, arch)
        torch.manual_seed(seed)
        assert torch.equal(shared, supernet.extract(arch)(x))


def test_a_step_changes_only_the_weights_of_its_path(space: SearchSpace) -> None:
    net = Supernet(space).train()
    initialize(net, torch.Generator().manual_seed(0))
    optimizer = build_optimizer(net, load_recipe("imagenet", "supernet", {}))
    # normalization cancels a convolution's bias, so its gradient is 0 up to rounding
    idle = {f"{name}.bias" for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)}
    first, second = space.draw(Random(0)), space.draw(Random(1))
    for arch in (first, second):  # momentum and decay must not change the first path in the second step
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        labels = torch.arange(4) % space.classes
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(images(space), arch), labels).backward()
        step(optimizer, net.slices(arch))
        active = active_parts(net, arch)
        for name, parameter in net.named_parameters():
            changed = parameter != before[name]
            assert not changed[~active[name]].any(), name
            assert changed[active[name]].any() or not active[name].any() or name in idle, name


def active_parts(net: Supernet, arch: Architecture) -> dict[str, torch.Tensor]:
    """For each weight, a mask of the elements that the path uses."""
    marks = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in net.named_parameters()}
    for name, mark in marks.items():
        mark.fill_(name.startswith(("stem.", "head.")))
    plain = Network(net.space, arch, SUPERNET)
    for position, choice in enumerate(net.space.choices_of(arch)):
        for name, weight in plain.blocks[position].named_parameters():
            mark = marks[f"blocks.{position}.ops.{choice.op}.{name}"]
            mark[tuple(slice(size) for size in weight.shape)] = True
    return marks


def test_an_extracted_network_shares_no_memory_with_the_supernet(space: SearchSpace, supernet: Supernet) -> None:
    arch = space.draw(Random(3))
    before = supernet(images(space), arch)
    with torch.no_grad():
        for parameter in supernet.extract(arch).parameters():
            parameter.zero_()
    assert torch.equal(supernet(images(space), arch), before)


def test_costs_equal_those_of_the_whole_network(space: SearchSpace) -> None:
    macs, params = macs_cost(space), params_cost(space)
    for seed in range(4):
        arch = space.draw(Random(seed))
        with torch.device("meta"):
            net = Network(space, arch, STANDALONE)
            assert count_macs(net, space.input_shape) == macs.cost(arch)
            assert count_params(net, space.input_shape) == params.cost(arch)


def test_a_supernet_has_no_running_statistics(supernet: Supernet) -> None:
    assert not SUPERNET.statistics
    assert not [name for name, _ in supernet.named_buffers()]


def test_an_architecture_can_be_read_from_its_text(space: SearchSpace) -> None:
    for seed in range(10):
        arch = space.draw(Random(seed))
        assert space.architecture(str(arch)) == arch
        assert space.architecture(",".join(arch.choices)) == arch
        indices = [
            [choice.key for choice in block.choices].index(key)
            for block, key in zip(space.blocks, arch.choices, strict=True)
        ]
        assert space.architecture(indices) == arch
