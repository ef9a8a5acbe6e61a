"""Initialize a ResNet supernet with float weights under torchvision's names or those of a network with `bits=float`."""

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

MAX_SHOWN = 80  # characters of an unknown name in an error message
FIXED = {"conv1": "stem.0.0", "bn1": "stem.0.1", "fc": "head.2"}
IN_BLOCK = {
    "conv1": "main.0",
    "bn1": "main.1",
    "conv2": "main.3",
    "bn2": "main.4",
    "downsample.0": "shortcut.0",
    "downsample.1": "shortcut.1",
}
HINT = "Give weights of the same ResNet, from torchvision or from nastool retrain with bits=float"
CLASSIFIER_HINT = "Remove the classifier's entries (fc.weight, fc.bias) from the file to initialize it at random"


@torch.no_grad()
def load_float(weights: Mapping[str, Tensor], supernet: Supernet) -> None:
    """Copy float weights into the first 1.0x channels of each block; other channels keep their initial weights.

    Batch normalization is checked but not copied: a supernet has neither its statistics nor its scale and offset. The
    classifier may be missing; it then keeps its initial weights.

    Raises:
        BadCheckpoint: a weight is missing, unknown, of another shape or not finite; it is named, and nothing is copied.
    """
    space = supernet.space
    _require_wide_resnet(space)
    expected = _float_network(space).state_dict()
    parameters = dict(supernet.named_parameters())
    shared = {name: _shared_name(name, space) for name in expected}
    renamed = {_nastool_name(key, space): (key, value) for key, value in weights.items()}
    for name, (key, value) in renamed.items():
        _check_weight(name, key, value, expected, space)
    for name in expected:
        # a supernet has no parameters of batch normalization
        if shared[name] in parameters and name not in renamed and not name.startswith("head."):
            raise BadCheckpoint(
                f"the initial weights lack {_torchvision_name(name, space)} ({name} in nastool). {HINT}"
            )
    for name, (_, value) in renamed.items():
        if shared[name] in parameters:
            parameters[shared[name]][tuple(slice(size) for size in value.shape)] = value


def _require_wide_resnet(space: SearchSpace) -> None:
    if space.family != "resnet":
        raise BadCheckpoint(
            f"{space.name} cannot be initialized with float weights. Use resnet18_bits or resnet34_bits"
        )
    if any(max(choice.width for choice in block.choices) < 1 for block in space.blocks):
        raise BadCheckpoint(
            f"float weights do not fit into {space.name}, since its blocks are narrower. "
            f"Add a width of 1.0 or more, as in widths=0.5-1.0"
        )


def _check_weight(name: str, key: str, value: Tensor, expected: Mapping[str, Tensor], space: SearchSpace) -> None:
    if name not in expected:
        raise BadCheckpoint(
            f"the initial weights contain {key[:MAX_SHOWN]!r}, which {space.name} does not have. {HINT}"
        )
    if value.shape != expected[name].shape:
        raise BadCheckpoint(
            f"the initial weight {key} has the shape {tuple(value.shape)}, but {space.name} needs "
            f"{tuple(expected[name].shape)}. {CLASSIFIER_HINT if name.startswith('head.') else HINT}"
        )
    if not torch.isfinite(value).all():
        raise BadCheckpoint(f"the initial weight {key} contains NaN or infinite values. Give other weights")


def _float_network(space: SearchSpace) -> Network:
    """The space's ordinary ResNet on the meta device, whose weights a checkpoint must have."""
    blocks = tuple(replace(block, choices=(Choice(block.choices[0].op),)) for block in space.blocks)
    plain = replace(space, blocks=blocks)
    with torch.device("meta"):
        return Network(plain, plain.architecture([0] * len(blocks)), STANDALONE)


def _stage_starts(space: SearchSpace) -> list[int]:
    """The position of the first block of each stage. Every stage after the first begins with stride 2."""
    return [0, *(i for i, block in enumerate(space.blocks) if i and block.stride == 2)]


def _nastool_name(key: str, space: SearchSpace) -> str:
    """`blocks.2.main.0.weight` for torchvision's `layer2.0.conv1.weight`; any other name is returned unchanged."""
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


def _torchvision_name(name: str, space: SearchSpace) -> str:
    """torchvision's `layer2.0.conv1.weight` for `blocks.2.main.0.weight`."""
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
    """The supernet's name `blocks.2.ops.basic.main.0.weight` for a network's `blocks.2.main.0.weight`."""
    if not name.startswith("blocks."):
        return name
    _, number, inside = name.split(".", 2)
    return f"blocks.{number}.ops.{space.blocks[int(number)].choices[0].op}.{inside}"
