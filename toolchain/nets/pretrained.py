"""Start a ResNet supernet from float weights: torchvision's names, or those of a network of `bits=float`."""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from toolchain.errors import BadCheckpoint
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import Choice, SearchSpace

FIXED = {"conv1": "stem.0.0", "bn1": "stem.0.1", "fc": "head.2"}
IN_BLOCK = {
    "conv1": "main.0",
    "bn1": "main.1",
    "conv2": "main.3",
    "bn2": "main.4",
    "downsample.0": "shortcut.0",
    "downsample.1": "shortcut.1",
}
HINT = "Give weights of the same ResNet, with torchvision's names or as nastool retrain leaves them for bits=float"
CLASSIFIER_HINT = "Remove the classifier's two entries (fc.weight, fc.bias) from the file to draw it anew"


@torch.no_grad()
def load_float(weights: Mapping[str, Tensor], supernet: Supernet) -> None:
    """Copy float weights into the first 1.0x channels of each block; wider ones keep what they were drawn as.

    Batch normalization is checked and left behind: a supernet has neither its statistics nor its scale and offset.
    A checkpoint without classifier is taken, and then that, too, stays as it was drawn.

    Raises:
        BadCheckpoint: a weight is missing, unknown or of another shape (it is named); nothing was copied.
    """
    space = supernet.space
    _require_wide_resnet(space)
    expected = _float_network(space).state_dict()
    parameters = dict(supernet.named_parameters())
    shared = {name: _shared_name(name, space) for name in expected}
    found = {_our_name(key, space): (key, value) for key, value in weights.items()}
    for name, (key, value) in found.items():
        _require_place(name, key, value, expected, space)
    for name in expected:
        # batch normalization is no parameter of a supernet
        if shared[name] in parameters and name not in found and not name.startswith("head."):
            raise BadCheckpoint(f"the weights to start from lack {_their_name(name, space)} ({name} here). {HINT}")
    for name, (_, value) in found.items():
        if shared[name] in parameters:
            parameters[shared[name]][tuple(slice(size) for size in value.shape)] = value


def _require_wide_resnet(space: SearchSpace) -> None:
    if space.family != "resnet":
        raise BadCheckpoint(f"{space.name} can't start from float weights: only resnet18_bits and resnet34_bits can")
    if any(max(choice.width for choice in block.choices) < 1 for block in space.blocks):
        raise BadCheckpoint(
            f"float weights don't fit into {space.name}, whose blocks are narrower. "
            f"Give it a width of 1.0 or more, as in widths=0.5-1.0"
        )


def _require_place(name: str, key: str, value: Tensor, expected: Mapping[str, Tensor], space: SearchSpace) -> None:
    if name not in expected:
        raise BadCheckpoint(f"the weights to start from have {key}, for which {space.name} has no place. {HINT}")
    if value.shape != expected[name].shape:
        raise BadCheckpoint(
            f"the weights to start from have {key} of shape {tuple(value.shape)}, and {space.name} needs "
            f"{tuple(expected[name].shape)}. {CLASSIFIER_HINT if name.startswith('head.') else HINT}"
        )


def _float_network(space: SearchSpace) -> Network:
    """The space's ordinary ResNet, without memory: what a checkpoint must have."""
    blocks = tuple(replace(block, choices=(Choice(block.choices[0].op),)) for block in space.blocks)
    plain = replace(space, blocks=blocks)
    with torch.device("meta"):
        return Network(plain, plain.architecture([0] * len(blocks)), STANDALONE)


def _stage_starts(space: SearchSpace) -> list[int]:
    """The first block of each stage: every stage after the first begins with stride 2."""
    return [0, *(i for i, block in enumerate(space.blocks) if i and block.stride == 2)]


def _our_name(key: str, space: SearchSpace) -> str:
    """torchvision's `layer2.0.conv1.weight` as `blocks.2.main.0.weight`; any other name stays."""
    starts = _stage_starts(space)
    module, _, leaf = key.rpartition(".")
    if module in FIXED:
        return f"{FIXED[module]}.{leaf}"
    match = re.fullmatch(r"layer(\d+)\.(\d+)\.(.+)", module)
    if match is None or match[3] not in IN_BLOCK or not 1 <= int(match[1]) <= len(starts):
        return key
    first, position = starts[int(match[1]) - 1], int(match[2])
    end = [*starts[1:], len(space.blocks)][int(match[1]) - 1]
    return f"blocks.{first + position}.{IN_BLOCK[match[3]]}.{leaf}" if first + position < end else key


def _their_name(name: str, space: SearchSpace) -> str:
    """The other way round."""
    module, _, leaf = name.rpartition(".")
    fixed = {ours: theirs for theirs, ours in FIXED.items()}
    if module in fixed:
        return f"{fixed[module]}.{leaf}"
    _, number, inside = module.split(".", 2)
    first = max(start for start in _stage_starts(space) if start <= int(number))
    stage = _stage_starts(space).index(first) + 1
    theirs = next(key for key, ours in IN_BLOCK.items() if ours == inside)
    return f"layer{stage}.{int(number) - first}.{theirs}.{leaf}"


def _shared_name(name: str, space: SearchSpace) -> str:
    """A network's `blocks.2.main.0.weight` as the supernet keeps it: `blocks.2.ops.basic.main.0.weight`."""
    if not name.startswith("blocks."):
        return name
    _, number, inside = name.split(".", 2)
    return f"blocks.{number}.ops.{space.blocks[int(number)].choices[0].op}.{inside}"
