"""MACs and parameters, counted on the modules themselves: one truth, no second formula.

A MAC is one multiply-add of a convolution or of the classifier; batch normalisation, ReLU, pooling, shuffle and
bias count nothing. This is what the paper prints as FLOPs. Parameters are those of the network that ships, so
with affine batch normalisation.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from toolchain.costs.core import TableCost
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import build_block, build_head, build_stem
from toolchain.spaces.core import Choice, ChoiceBlock, SearchSpace

Shape = tuple[int, int, int]


def count_macs(module: nn.Module, input_shape: Shape) -> int:
    """Multiply-adds for one image (C, H, W), seen by hooks as it passes; on the meta device nothing is computed."""
    macs = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        weight = layer.weight
        assert isinstance(weight, Tensor)
        macs += output.numel() * weight[0].numel()

    counted = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in counted]
    with torch.no_grad():
        module.eval()(torch.empty(1, *input_shape, device="meta"))
    for handle in handles:
        handle.remove()
    return macs


def count_params(module: nn.Module, _: Shape) -> int:
    """Learned numbers: weights, and the scale and offset of each batch normalisation."""
    return sum(parameter.numel() for parameter in module.parameters())


def macs_cost(space: SearchSpace) -> TableCost:
    """MACs of every choice of every block of `space`, at batch 1."""
    return _count_all(space, "macs", "MACs", count_macs)


def params_cost(space: SearchSpace) -> TableCost:
    """Parameters of every choice of every block of `space`."""
    return _count_all(space, "params", "params", count_params)


def _count_all(space: SearchSpace, name: str, unit: str, count: Callable[[nn.Module, Shape], int]) -> TableCost:
    @cache  # most blocks of a stage have the same outside
    def count_block(c_in: int, c_out: int, size_px: int, stride: int, choice: Choice) -> int:
        spec = ChoiceBlock(c_in, c_out, size_px, stride, (choice,))
        return count(build_block(spec, choice, STANDALONE), (c_in, size_px, size_px))

    with torch.device("meta"):
        last = space.blocks[-1]
        stem = count(build_stem(space, STANDALONE), space.input_shape)
        head = count(build_head(space, STANDALONE), (last.c_out, last.out_px, last.out_px))
        rows = tuple(
            {c.key: count_block(b.c_in, b.c_out, b.size_px, b.stride, c) for c in b.choices} for b in space.blocks
        )
    return TableCost(name, unit, stem + head, rows)
