"""Spaces of models that a user's file defines: what becomes narrower, what keeps its width, what is refused."""

import copy
from pathlib import Path
from random import Random

import pytest
import torch

from toolchain.errors import BadCheckpoint, UnknownSpace
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.checked_space import load_checked_space
from toolchain.nets.model_space.notes import space_notes
from toolchain.nets.model_space.weights import (
    builder_of_model,
    has_names_of_model,
    initial_weights,
    load_into_supernet,
    model_state,
    model_weights,
    network_state,
)
from toolchain.nets.network import Network
from toolchain.nets.supernet import Supernet
from toolchain.nets.weight_files import read_weights
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.model_source import full_architecture

MODELS = Path(__file__).parent / "models.py"


def space_of(function: str, options: str = "size_px=16") -> SearchSpace:
    return load_checked_space(f"model:{MODELS}:{function}:{options}")


def choices(space: SearchSpace) -> list[tuple[str, ...]]:
    return [tuple(block.by_key) for block in space.blocks]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("same_pad", ("samepad", "samepad@0.75", "samepad@0.5", "samepad@0.25", "skip")),  # depthwise, SE, raw scale
        ("preactivated", ("preactivated", "preactivated@0.75", "preactivated@0.5", "preactivated@0.25")),
        ("attention", ("spatialattention", "spatialattention@0.75", "spatialattention@0.5", "spatialattention@0.25")),
        ("gated", ("gated", "skip")),  # chunks of narrower channels
        ("concatenated", ("concatenated", "skip")),
        ("cumulative", ("cumulative", "skip")),
        ("shuffled", ("shuffled", "skip")),
    ],
)
def test_freedom_of_a_block(function: str, expected: tuple[str, ...]) -> None:
    space = space_of(function, "size_px=16,widths=0.25-0.5-0.75-1.0")
    assert choices(space)[0] == expected


@pytest.mark.parametrize(
    "function",
    [
        "same_pad",
        "stages",
        "batch_size",
        "preactivated",
        "attention",
        "gated",
        "concatenated",
        "chain",
        "gains",
    ],
)
def test_network_and_paths_compute_the_model(function: str) -> None:
    space = space_of(function)
    builder = builder_of_model(space)
    assert builder is not None
    net = Network(space, full_architecture(space), STANDALONE).eval()
    net.load_state_dict(network_state(space, initial_weights(space), full_architecture(space)))
    images = torch.randn(2, *space.input_shape)
    supernet = Supernet(space).eval()
    load_into_supernet(initial_weights(space), supernet)
    with torch.no_grad():
        torch.testing.assert_close(net(images), builder.model.eval()(images), rtol=1e-4, atol=1e-5)
        for seed in range(3):
            arch = space.draw(Random(seed))
            assert torch.equal(supernet(images, arch), supernet.extract(arch)(images))


def test_blocks_inside_stages_with_a_forward_function_of_their_own() -> None:
    builder = builder_of_model(space_of("stages"))
    assert builder is not None
    assert [block.path for block in builder.blocks] == [
        "blocks.0.blocks.0",
        "blocks.0.blocks.1",
        "blocks.1.blocks.0",
        "blocks.1.blocks.1",
    ]


def test_dropout_of_a_function_follows_the_mode_of_the_module() -> None:
    space = space_of("same_pad")
    net = Network(space, full_architecture(space), STANDALONE)
    images = torch.randn(8, *space.input_shape)
    block = net.blocks[0]
    with torch.no_grad():
        x = net.stem.eval()(images)
        block.eval()
        assert torch.equal(block(x), block(x))
        block.train()
        assert not torch.equal(block(x), block(x))


def test_notes_name_the_operator_and_the_blocks() -> None:
    assert space_notes(space_of("cumulative")) == [
        "blocks.0, blocks.1: channels that the operator cumsum reads or writes keep their width"
    ]
    assert "split or concatenated" in space_notes(space_of("gated"))[0]


def test_channels_of_a_buffer_that_is_not_saved_keep_their_order() -> None:
    space = space_of("fixed_scale")
    assert choices(space) == [("fixedscale", "skip")] * 2
    assert "since the buffer blocks.0.factor is not saved with the weights (persistent=False)" in space_notes(space)[0]


def test_a_model_without_blocks_becomes_a_chain_of_pairs() -> None:
    space = space_of("chain")
    assert [block.choices[0].key for block in space.blocks] == ["chain", "chain"]
    assert [block.geometry for block in space.blocks] == ["16x14px->32x10px", "32x10px->32x6px"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("Dynamic", "models.py, line "),
        ("Dynamic", "control flow must not depend on values or shapes of tensors"),
        ("shared", "blocks.0.first is used in two places"),
        ("SharedScale", "scale is used in two places"),
        ("without_statistics", "the batch normalization blocks.0.norm keeps no running statistics"),
        ("Constant", "neither a parameter nor a buffer. Give it to the module with self.register_buffer"),
        ("two_outputs", "does not give one tensor of logits"),
        ("rigid", "no block can be made narrower or left out"),
        ("not_a_model", "returns a int. Return an nn.Module"),
        ("missing", "defines no 'missing'. It defines same_pad"),
    ],
)
def test_bad_models_are_refused(function: str, message: str) -> None:
    with pytest.raises(UnknownSpace) as refused:
        space_of(function)
    assert message in str(refused.value)


def test_wrong_input_channels_are_named() -> None:
    with pytest.raises(UnknownSpace, match="fails for images of 3x2x2"):
        space_of("chain", "size_px=2")


def test_weights_of_another_model_name_the_first_three_differences() -> None:
    space, other = space_of("same_pad"), space_of("preactivated")
    with pytest.raises(BadCheckpoint) as refused:
        model_weights(space, builder_of_model(other).model.state_dict())  # type: ignore[union-attr]
    message = str(refused.value)
    assert "blocks.0.scale is missing; " in message
    assert message.count(" is missing") == 3
    assert " more. Give weights of the same model" in message


def test_weights_of_other_classes_begin_with_a_new_classifier() -> None:
    space = space_of("same_pad", "size_px=16,classes=7")
    theirs = {name: value.half() for name, value in builder_of_model(space_of("same_pad")).model.state_dict().items()}  # type: ignore[union-attr]
    weights = model_weights(space, theirs)
    assert weights.notes == (
        "the weights are for 5 classes and the space has 7: the classifier head begins with new weights",
    )
    assert weights.values["head.weight"].shape == (7, 16)
    assert weights.values["stem.0.weight"].dtype == torch.float32


def test_a_prefix_of_the_models_own_names_is_not_lost(tmp_path: Path) -> None:
    space = space_of("Wrapper")
    theirs = builder_of_model(space).model.state_dict()  # type: ignore[union-attr]
    torch.save(theirs, tmp_path / "weights.pt")
    weights = model_weights(space, read_weights(tmp_path / "weights.pt"))
    assert weights.values.keys() == theirs.keys()
    assert weights.values["backbone.head.weight"].equal(theirs["backbone.head.weight"])


def test_files_of_nastool_are_not_taken_for_those_of_the_model() -> None:
    space = space_of("same_pad")  # its own names begin with stem, blocks and head too
    net = Network(space, full_architecture(space), STANDALONE)
    assert not has_names_of_model(space, net.state_dict())
    assert has_names_of_model(space, builder_of_model(space).model.state_dict())  # type: ignore[union-attr]


@pytest.mark.parametrize("function", ["same_pad", "unsaved_offset"])
def test_weights_of_the_original_network_fit_the_model_itself(function: str) -> None:
    space = space_of(function)
    net = Network(space, full_architecture(space), STANDALONE)
    net.load_state_dict(network_state(space, initial_weights(space)))
    model = copy.deepcopy(builder_of_model(space).model)  # type: ignore[union-attr]
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    state = model_state(space, net.state_dict())
    model.load_state_dict(state)
    assert state.keys() == model.state_dict().keys()
    images = torch.randn(2, *space.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), net.eval()(images))


def test_weights_of_a_classifier_for_training_alone_are_left_out() -> None:
    space = load_checked_space("model:torchvision:googlenet:size_px=64,classes=5")
    builder = builder_of_model(space)
    assert builder is not None
    weights = dict(builder.model.state_dict())
    auxiliary = {"aux1.conv.conv.weight": torch.ones(1), "aux2.fc1.bias": torch.ones(1)}
    assert model_weights(space, weights | auxiliary).notes == ()
    with pytest.raises(BadCheckpoint, match="is unknown"):
        model_weights(space, weights | {"aux3.weight": torch.ones(1)})


def test_the_convolution_that_runs_first_has_the_images() -> None:
    space = space_of("late_stem")
    assert space.in_channels == 3
    model, net = builder_of_model(space).model.eval(), Network(space, full_architecture(space), STANDALONE).eval()  # type: ignore[union-attr]
    net.load_state_dict(network_state(space, initial_weights(space)))
    x = torch.randn(2, 3, 16, 16)
    before = x.clone()
    with torch.no_grad():
        torch.testing.assert_close(net(x), model(before.clone()))
    assert torch.equal(x, before)


def test_a_group_of_few_channels_keeps_one() -> None:
    space = space_of("same_pad", "size_px=16,round_to=1,widths=0.1-1.0")
    assert space.blocks[0].choices[1].key == "samepad@0.1"
    (block,) = builder_of_model(space).blocks[:1]  # type: ignore[union-attr]
    assert [group.kept(space.blocks[0].choices[1]) for group in block.freedom.groups] == [3, 1]  # of 32 and 8


def test_filters_for_color_images_are_summed_for_gray_ones() -> None:
    space = space_of("same_pad", "size_px=16,in_channels=1")
    theirs = builder_of_model(space_of("same_pad")).model.state_dict()  # type: ignore[union-attr]
    weights = model_weights(space, theirs)
    torch.testing.assert_close(weights.values["stem.0.weight"], theirs["stem.0.weight"].sum(1, keepdim=True))
    assert "the filters of stem.0.weight are summed over the channels, and divided by 1" in weights.notes[0]
