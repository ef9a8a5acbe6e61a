"""A supernet initialized with torchvision's float weights, and its errors if they do not fit."""

from collections.abc import Mapping
from functools import cache

import pytest
import torch
import torchvision
from torch import Tensor

from toolchain.errors import BadCheckpoint
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, initialize
from toolchain.nets.pretrained import _nastool_name, load_float
from toolchain.nets.supernet import Supernet
from toolchain.spaces import load_space

RESNETS = ("resnet18", "resnet34")


@cache
def reference(name: str = "resnet18") -> torch.nn.Module:
    """Random weights: tests read them."""
    torch.manual_seed(0)
    return getattr(torchvision.models, name)()


def supernet(name: str = "resnet18_bits") -> Supernet:
    net = Supernet(load_space(name))
    initialize(net, torch.Generator().manual_seed(1))
    return net


@pytest.mark.parametrize("name", RESNETS)
def test_a_float_network_computes_the_same_as_torchvisions(name: str) -> None:
    space = load_space(f"{name}_bits:bits=float,widths=1.0,size_px=64")
    theirs = reference(name).eval()
    ours = Network(space, space.all_same("basic"), STANDALONE).eval()
    ours.load_state_dict(
        {_nastool_name(key, space): value for key, value in theirs.state_dict().items()}
    )  # all of them
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet34", marks=pytest.mark.long)])
def test_the_first_channels_get_the_weights_and_the_others_keep_theirs(name: str) -> None:
    weights = reference(name).state_dict()
    net = supernet(f"{name}_bits")
    before = {key: p.detach().clone() for key, p in net.named_parameters()}
    load_float(weights, net)
    after = dict(net.named_parameters())
    first, second = "blocks.0.ops.basic.main.0.weight", "blocks.0.ops.basic.main.3.weight"
    assert after[first].shape == (96, 64, 3, 3)
    assert after[first][:64].equal(weights["layer1.0.conv1.weight"])
    assert after[first][64:].equal(before[first][64:])
    assert after[second][:, :64].equal(weights["layer1.0.conv2.weight"])
    assert after[second][:, 64:].equal(before[second][:, 64:])
    for ours, theirs in {
        "stem.0.0.weight": "conv1.weight",
        "head.2.weight": "fc.weight",
        "head.2.bias": "fc.bias",
        f"blocks.{2 if name == 'resnet18' else 3}.ops.basic.shortcut.0.weight": "layer2.0.downsample.0.weight",
    }.items():
        assert after[ours].equal(weights[theirs])
    assert all(after[key].equal(value) for key, value in before.items() if "alpha_" in key)
    assert all(not after[key].equal(value) for key, value in before.items() if "alpha_" not in key)


def test_weights_of_a_network_with_float_bits_are_accepted() -> None:
    options = "size_px=16,in_channels=1,classes=10,stem_kernel=3,stage_widths=8-16,stage_repeats=1-2"
    space = load_space(f"resnet18_bits:{options},bits=float,widths=1.0")
    trained = Network(space, space.all_same("basic"), STANDALONE)
    net = supernet(f"resnet18_bits:{options},weights=dorefa")
    load_float(trained.state_dict(), net)
    part = net.blocks[2].get_parameter("ops.basic_dorefa.main.3.weight")[:, :16]
    assert part.equal(trained.blocks[2].main[3].weight)


def test_a_missing_classifier_keeps_its_initial_weights() -> None:
    weights = {key: value for key, value in reference().state_dict().items() if not key.startswith("fc.")}
    net = supernet("resnet18_bits:classes=37")
    before = net.get_parameter("head.2.weight").detach().clone()
    load_float(weights, net)
    assert net.get_parameter("head.2.weight").equal(before)
    assert net.get_parameter("stem.0.0.weight").equal(weights["conv1.weight"])


def changed(key: str, value: Tensor | None) -> Mapping[str, Tensor]:
    weights = dict(reference().state_dict())
    if value is None:
        del weights[key]
    else:
        weights[key] = value
    return weights


refusing = cache(supernet)  # that nothing is copied into


@pytest.mark.parametrize(
    ("space", "key", "value", "problem"),
    [
        (
            "resnet18_bits",
            "layer3.1.conv2.weight",
            None,
            "(blocks.5.main.3.weight in nastool)",
        ),
        ("resnet18_bits", "conv1.weight", None, "lack conv1.weight (stem.0.0.weight in nastool)"),
        (
            "resnet18_bits",
            "layer3.2.conv1.weight",
            torch.zeros(1),
            "contain 'layer3.2.conv1.weight', which",
        ),
        ("resnet18_bits", "layer5.0.conv1.weight", torch.zeros(1), "contain 'layer5.0.conv1.weight', which"),
        ("resnet18_bits", "layer1.0.conv3.weight", torch.zeros(1), "contain 'layer1.0.conv3.weight', which"),
        ("resnet18_bits", "bn1.weight", torch.zeros(3), "bn1.weight has the shape (3,), but resnet18_bits needs (64,)"),
        (
            "resnet18_bits",
            "layer1.0.conv1.weight",
            torch.zeros(2, 3),
            "layer1.0.conv1.weight has the shape (2, 3), but",
        ),
        ("resnet18_bits:classes=37", "fc.bias", torch.zeros(1000), "Remove the classifier's entries"),
        ("resnet34_bits", "conv1.weight", torch.zeros(64, 3, 7, 7), "lack layer1.2.conv1.weight"),
        ("resnet18_bits", "fc.bias", torch.full((1000,), float("nan")), "fc.bias contains NaN or infinite values"),
        ("resnet18_bits:widths=0.5", "conv1.weight", torch.zeros(64, 3, 7, 7), "as in widths=0.5-1.0"),
        ("shufflenet_v2_quick", "conv1.weight", torch.zeros(64, 3, 7, 7), "Use resnet18_bits or resnet34_bits"),
    ],
)
def test_a_weight_that_does_not_fit_is_named_and_nothing_is_copied(
    space: str, key: str, value: Tensor | None, problem: str
) -> None:
    net = refusing(space)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    with pytest.raises(BadCheckpoint) as caught:
        load_float(changed(key, value), net)
    assert problem in str(caught.value)
    assert all(p.equal(before[name]) for name, p in net.named_parameters())
