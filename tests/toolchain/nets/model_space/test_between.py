"""Channels between the blocks of a model are removed before its space is derived."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor, nn

from toolchain.costs.counters import macs_cost
from toolchain.errors import UnknownSpace
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.builder import ModelBuilder
from toolchain.nets.model_space.derive import model_space
from toolchain.nets.model_space.notes import between_notes
from toolchain.nets.model_space.weights import load_into_supernet, model_weights, network_state, original_space
from toolchain.nets.network import Network
from toolchain.nets.supernet import Supernet
from toolchain.shrink.result import changes_of, channels_between
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.model_source import full_architecture

Randomized = Callable[[str], tuple[SearchSpace, nn.Module]]
TOLERANCE = 1e-5  # relative, float32: sums of fewer channels differ in their rounding
LARGE = ("resnet50", "resnext50_32x4d", "efficientnet_b0", "regnet_y_400mf", "mnasnet1_0", "shufflenet_v2_x1_0")
MODELS = ["resnet18", "mobilenet_v3_small", *(pytest.param(name, marks=pytest.mark.long) for name in LARGE)]


def narrow_space(name: str) -> SearchSpace:
    return model_space(f"model:torchvision:{name}:size_px=64,classes=10,between=0.5")


def without_effect(space: SearchSpace, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the original, where as many channels of each group as `space` removes are always 0."""
    assert isinstance(space.builder, ModelBuilder)
    narrowing = space.builder.narrowing
    assert narrowing is not None
    state, rng = {name: value.clone() for name, value in state.items()}, Random(0)
    for group in narrowing.groups:
        for number in rng.sample(range(group.units), group.units - group.kept(narrowing.choice)):
            for (name, dim), unit in group.axes.items():
                if dim == 0 and not name.endswith("running_var"):
                    state[name][number * unit : (number + 1) * unit] = 0
    return state


@pytest.mark.parametrize("name", MODELS)
def test_the_removed_channels_are_those_of_the_least_magnitude(name: str, randomized: Randomized) -> None:
    """Where these have no effect, the narrower network computes what the original does."""
    space = narrow_space(name)
    _, model = randomized(name)
    state = without_effect(space, dict(model.state_dict()))
    for key, value in model.state_dict().items():
        value.copy_(state[key])
    net = Network(space, full_architecture(space), STANDALONE).eval()
    net.load_state_dict(network_state(space, model_weights(space, state)))
    images = torch.randn(2, *space.input_shape)
    with torch.no_grad():
        expected, actual = model(images), net(images)
    assert float((expected - actual).abs().max() / expected.abs().max()) < TOLERANCE
    assert sum(value.numel() for value in net.parameters()) < sum(value.numel() for value in model.parameters())


def test_blocks_stay_and_have_half_the_channels_at_their_borders() -> None:
    space = narrow_space("resnet18")
    whole = original_space(space)
    assert whole is original_space(whole) is model_space("model:torchvision:resnet18:size_px=64,classes=10")
    assert [block.c_out for block in whole.blocks] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [block.c_out for block in space.blocks] == [32, 32, 64, 64, 128, 128, 256, 256]
    assert [block.choices for block in space.blocks] == [block.choices for block in whole.blocks]
    # every convolution has half the inputs or half the outputs, but those of shortcuts have both
    shortcuts = 32 * 64 * 8 * 8 + 64 * 128 * 4 * 4 + 128 * 256 * 2 * 2
    convolutions = macs_cost(whole).cost(full_architecture(whole)) - 4 * shortcuts - 512 * 10
    assert macs_cost(space).cost(full_architecture(space)) == convolutions / 2 + shortcuts + 256 * 10


def test_paths_are_extracted_exactly(randomized: Randomized) -> None:
    space = narrow_space("resnet18")
    _, model = randomized("resnet18")
    supernet = Supernet(space).eval()
    load_into_supernet(model_weights(space, model.state_dict()), supernet)
    arch = space.draw(Random(0))
    images = torch.randn(2, *space.input_shape)
    with torch.no_grad():
        assert torch.equal(supernet(images, arch), supernet.extract(arch)(images))


def test_equal_borders_are_no_change_of_a_block() -> None:
    """With half the channels, blocks of two stages have the same borders, and their ops get other names."""
    space = narrow_space("mobilenet_v3_small")
    assert {choice.op for block in space.blocks for choice in block.choices} >= {"invertedresidual_2"}
    assert changes_of(space, full_architecture(space)) == ()
    left = channels_between(space)
    assert left is not None
    # 16 of the stem; 16, 24, 40, 48 and 96 at the borders; 576 and 1024 inside the head
    assert left.whole == 16 + (16 + 24 + 40 + 48 + 96) + (576 + 1024)


SHARED = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.register_buffer("scale", torch.full((16, 1, 1), 2.0))

    def forward(self, x):
        return x + self.norm(self.second(torch.relu(self.first(x)))) * self.scale


NET = nn.Sequential(
    nn.Conv2d(1, 16, 3), nn.Sequential(Block(), Block()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
)
"""


def test_buffers_stay_buffers_and_the_original_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's function that gives the same object each time, as of an imported module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shared_net.py").write_text(SHARED)
    (tmp_path / "net.py").write_text("from shared_net import NET\n\n\ndef build():\n    return NET\n")
    space = model_space(f"model:{tmp_path / 'net.py'}:build:size_px=16,between=0.5")
    whole = original_space(space)
    assert isinstance(space.builder, ModelBuilder)
    assert isinstance(whole.builder, ModelBuilder)
    assert dict(space.builder.model.named_buffers())["1.0.scale"].shape == (8, 1, 1)
    assert whole.builder.model.state_dict()["0.weight"].shape == (16, 1, 3, 3)
    assert space.builder.model.state_dict().keys() == whole.builder.model.state_dict().keys()
    net = Network(space, full_architecture(space), STANDALONE)
    net.load_state_dict(network_state(space, model_weights(space, whole.builder.model.state_dict())))
    assert net(torch.zeros(2, *space.input_shape)).shape == (2, 10)
    (scale,) = {value.requires_grad for name, value in net.named_parameters() if name.endswith("scale")}
    assert not scale


def test_what_is_left_is_said() -> None:
    (note, *_) = between_notes(narrow_space("resnet18"))
    assert note == "between=0.5 keeps 480 of 960 channels between blocks"
    split, *reasons = between_notes(narrow_space("shufflenet_v2_x1_0"))
    assert split == "between=0.5 keeps 528 of 1,048 channels between blocks"
    assert "split or concatenated" in reasons[0]
    assert len(reasons) == 4
    assert reasons[-1].startswith("others keep their channels for ")
    assert between_notes(original_space(narrow_space("resnet18"))) == []


@pytest.mark.parametrize(
    ("between", "message"),
    [
        ("1.5", "between is 1.5; it must be above 0 and at most 1"),
        ("0", "between"),
        ("nan", "between"),
        ("half", "'half' is not a valid value for between"),
        ("0.999", "between=0.999 removes no channels, since their number is a multiple of 8"),
    ],
)
def test_a_width_that_removes_nothing_is_refused(between: str, message: str) -> None:
    with pytest.raises(UnknownSpace, match=message):
        model_space(f"model:torchvision:resnet18:size_px=64,between={between}")
