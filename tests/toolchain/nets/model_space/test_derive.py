"""Spaces that are derived from models of torchvision: blocks, freedom, identity."""

import pytest

from toolchain.errors import UnknownSpace
from toolchain.nets.checked_space import load_checked_space
from toolchain.nets.model_space.derive import model_space

# Choice blocks of torchvision's models at 224 px, counted in their source files.
BLOCKS = {
    "resnet18": 8,
    "mobilenet_v2": 17,
    "mobilenet_v3_small": 11,
    "shufflenet_v2_x1_0": 16,
}
MORE_BLOCKS = {
    "resnet34": 16,
    "resnet50": 16,
    "wide_resnet50_2": 16,
    "resnext50_32x4d": 16,
    "mobilenet_v3_large": 15,
    "efficientnet_b0": 16,
    "regnet_y_400mf": 16,
    "mnasnet1_0": 16,
    "convnext_tiny": 18,
}


def blocks_of(name: str) -> int:
    """Blocks that are modules of the model; pieces between two stages, as in ConvNeXt, have the op `fixed`."""
    space = model_space(f"model:torchvision:{name}:size_px=64")
    return sum(block.choices[0].op != "fixed" for block in space.blocks)


@pytest.mark.parametrize(("name", "expected"), BLOCKS.items())
def test_blocks_are_the_children_of_stages(name: str, expected: int) -> None:
    assert blocks_of(name) == expected


@pytest.mark.long
@pytest.mark.parametrize(("name", "expected"), MORE_BLOCKS.items())
def test_blocks_of_larger_models(name: str, expected: int) -> None:
    assert blocks_of(name) == expected


def test_resnet18_has_widths_and_skips() -> None:
    space = load_checked_space("model:torchvision:resnet18:classes=10,size_px=32", widths="0.5-1.0")
    assert space.name == "model:torchvision:resnet18:size_px=32,classes=10,widths=0.5-1.0"
    assert (space.in_channels, space.size_px, space.classes) == (3, 32, 10)
    assert [tuple(block.by_key) for block in space.blocks[1:3]] == [
        ("basicblock", "basicblock@0.5", "skip"),
        ("basicblock", "basicblock@0.5"),  # the shape changes, so it cannot be left out
    ]
    assert [block.geometry for block in space.blocks[1:4]] == ["64x8px->64s1", "64x8px->128s2", "128x4px->128s1"]


def test_records_of_two_models_have_different_keys() -> None:
    resnet, wide = (model_space(f"model:torchvision:{name}:size_px=32") for name in ("resnet18", "mobilenet_v2"))
    assert resnet.key_prefix != wide.key_prefix
    assert resnet.key_prefix.startswith("resnet18#")


def test_classes_and_size_do_not_change_the_keys_of_blocks() -> None:
    first, second = (model_space(f"model:torchvision:resnet18:{text}") for text in ("size_px=32", "classes=7"))
    assert first.key_prefix == second.key_prefix
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:resnet18", "names no model. Write --space model:torchvision:NAME"),
        ("model:torchvision:resnet19", "no classification model 'resnet19'. Models with similar names: resnet1"),
        ("model:torchvision:resnet18:size_px=224x320", "input images must be square. Write one number"),
        ("model:torchvision:resnet18:depth=3", "has no option 'depth'. Options: in_channels, size_px, classes"),
        ("model:torchvision:resnet18:widths=0.5-2.0", "widths 0.5-2: the largest must be 1"),
        ("model:torchvision:vit_b_16", "networks of tokens, such as ViT, are not supported"),
    ],
)
def test_bad_models_are_refused(text: str, message: str) -> None:
    with pytest.raises(UnknownSpace) as refused:
        load_checked_space(text)
    assert message in str(refused.value)
