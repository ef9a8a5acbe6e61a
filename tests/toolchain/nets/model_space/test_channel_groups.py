"""A narrower block computes the whole block without the removed channels; compared with torch-pruning's groups."""

from pathlib import Path

import pytest
import torch
from torch import nn

from toolchain.nets.blocks import STANDALONE
from toolchain.nets.checked_space import load_checked_space
from toolchain.nets.model_space.builder import BlockPart
from toolchain.nets.model_space.traced_part import build_part
from toolchain.nets.model_space.weights import builder_of_model, initial_weights, network_state
from toolchain.nets.network import Network
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.model_source import full_architecture

OWN = Path(__file__).parent / "models.py"
SMALL = ("torchvision:mobilenet_v3_small", f"{OWN}:same_pad", f"{OWN}:preactivated", f"{OWN}:attention")
LARGE = ("resnet50", "resnext50_32x4d", "efficientnet_b0", "regnet_y_400mf", "shufflenet_v2_x1_0", "convnext_tiny")
MODELS = [*SMALL, *(pytest.param(f"torchvision:{name}", marks=pytest.mark.long) for name in LARGE)]


def space_of(name: str) -> SearchSpace:
    return load_checked_space(f"model:{name}:size_px=64,classes=10,widths=0.5-1.0")


def without_removed(block: BlockPart, whole: nn.Module, narrow: nn.Module) -> None:
    """Set to zero the weights of `whole` that read channels which `narrow` does not have."""
    smaller = dict(narrow.named_parameters())
    parameters = dict(whole.named_parameters())
    for group in block.freedom.groups:
        for name, dim in group.axes:
            if dim == 1:
                removed = slice(smaller[name].shape[1], None)
                parameters[name][:, removed] = 0


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_narrower_block_is_the_whole_one_without_channels(name: str) -> None:
    space = space_of(name)
    builder = builder_of_model(space)
    assert builder is not None
    torch.manual_seed(0)
    for layer in builder.model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.uniform_(0.5, 2)
            layer.bias.normal_()
    for key, value in builder.model.named_parameters():
        if key.endswith("layer_scale"):
            value.uniform_(0.5, 1)
    weights = initial_weights(space)
    full = full_architecture(space)
    keys = [next((key for key in block.by_key if key.endswith("@0.5")), block.choices[0].key) for block in space.blocks]
    narrow_net, whole_net = (Network(space, arch, STANDALONE).eval() for arch in (space.architecture(keys), full))
    narrow_net.load_state_dict(network_state(space, weights, space.architecture(keys)))
    whole_net.load_state_dict(network_state(space, weights, full))
    compared = 0
    for part, narrow, whole in zip(builder.blocks, narrow_net.blocks, whole_net.blocks, strict=True):
        x = torch.randn(2, *part.part.input_shape)
        before = whole(x)
        without_removed(part, whole, narrow)
        after = whole(x)
        torch.testing.assert_close(narrow(x), after, rtol=1e-4, atol=1e-4)
        compared += not torch.allclose(before, after, rtol=1e-4, atol=1e-4)
    assert compared > 0


def test_the_most_important_channels_come_first() -> None:
    space = space_of("torchvision:mobilenet_v3_small")
    builder = builder_of_model(space)
    assert builder is not None
    weights = initial_weights(space).values
    first, depthwise = (
        weights[f"features.2.block.{number}.0.weight"].flatten(1).norm(dim=1)
        * weights[f"features.2.block.{number}.1.weight"].abs()
        for number in (0, 1)
    )
    scores = first / first.mean() + depthwise / depthwise.mean()
    assert bool((scores[:-1] >= scores[1:] - 1e-6).all())


def pruned_with(block: nn.Module, layer: str, shape: tuple[int, ...]) -> set[tuple[str, int]]:
    """The axes that torch-pruning cuts together with the first output channel of `layer`."""
    pruning = pytest.importorskip("torch_pruning")
    graph = pruning.DependencyGraph().build_dependency(block, example_inputs=torch.randn(1, *shape))
    group = graph.get_pruning_group(block.get_submodule(layer), pruning.prune_conv_out_channels, idxs=[0])
    names = {module: name for name, module in block.named_modules()}
    axes = set()
    for dependency, _ in group.items:
        module, action = dependency.target.module, dependency.handler.__name__
        if isinstance(module, nn.Conv2d | nn.Linear) and "in_channels" in action and module_groups(module) == 1:
            axes.add((f"{names[module]}.weight", 1))
        elif isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            axes.add((f"{names[module]}.weight", 0))
    return axes


def module_groups(module: nn.Module) -> int:
    return int(getattr(module, "groups", 1))


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"])
def test_groups_are_those_of_torch_pruning(name: str) -> None:
    space = space_of(f"torchvision:{name}")
    builder = builder_of_model(space)
    assert builder is not None
    for block in builder.blocks:
        module = build_part(block.part, STANDALONE).eval()
        for group in block.freedom.groups:
            ours = {axis for axis in group.axes if axis[0].endswith(".weight")}
            assert ours == pruned_with(module, group.layer, block.part.input_shape)
