"""MACs, parameters, BitOps and weight memory, counted on the modules themselves.

A MAC is one multiply-add of a convolution or of the classifier. Batch normalization, ReLU, pooling, shuffle and bias
count as 0. This is what the paper prints as FLOPs. Parameters are those of the exported network, with affine batch
normalization. BitOps are MACs x weight bits x activation bits of the convolutions in the choice blocks, including those
on shortcuts; stem and head count as 0. In units of 2^30 this gives the printed BitOps of the six uniform networks in
Table 6 of the paper to the last digit.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from toolchain.costs.core import BITOPS, MACS, PARAMS, WEIGHT_BITS, TableCost
from toolchain.errors import UnknownSpace
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.traced_part import TracedPart
from toolchain.nets.network import builder_of
from toolchain.nets.supernet import replicate
from toolchain.spaces.core import FLOAT_BITS, ChoiceBlock, SearchSpace

WITHOUT_MACS = nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm | nn.PReLU  # layers that have weights

Shape = tuple[int, int, int]
Count = Callable[[nn.Module, Shape], int]


def count_macs(module: nn.Module, input_shape: Shape) -> int:
    """Multiply-adds for one image of shape (C, H, W)."""
    if any(isinstance(part, TracedPart) and not part.counts_by_layer for part in module.modules()):
        return _count_by_operator(module, input_shape)
    return sum(macs for _, macs in _layers(module, input_shape))


def count_bitops(module: nn.Module, input_shape: Shape) -> int:
    """MACs x weight bits x activation bits for one image of shape (C, H, W). A float layer has 32 bits of each."""
    return sum(
        macs * getattr(layer, "w_bits", FLOAT_BITS) * getattr(layer, "a_bits", FLOAT_BITS)
        for layer, macs in _layers(module, input_shape)
    )


def count_params(module: nn.Module, _: Shape) -> int:
    """Number of parameters: weights, and the scale and offset of each batch normalization."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_weight_bits(module: nn.Module, _: Shape) -> int:
    """Bits of all parameters, packed: weights of quantized layers at their bit width, all others at 32 bits."""
    convs = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    saved = sum(conv.weight.numel() * (FLOAT_BITS - int(getattr(conv, "w_bits", FLOAT_BITS))) for conv in convs)
    return FLOAT_BITS * count_params(module, _) - saved


def default_cost_name(space: SearchSpace) -> str:
    """What architectures are sampled and compared by: MACs, or BitOps if the space has bit widths."""
    return "bitops" if space.quantized else "macs"


@cache
def counted_cost(name: str, space: SearchSpace) -> TableCost:
    """`macs` or `bitops` of a space. Counting a space of bit widths takes seconds, and each stage needs it."""
    return bitops_cost(space) if name == "bitops" else macs_cost(space)


def default_cost(space: SearchSpace) -> TableCost:
    """The cost of `default_cost_name`."""
    return counted_cost(default_cost_name(space), space)


def macs_cost(space: SearchSpace) -> TableCost:
    """MACs of every choice of every block of `space`, at batch 1."""
    return _count_all(space, "macs", "MACs", MACS, count_macs)


def params_cost(space: SearchSpace) -> TableCost:
    """Parameters of every choice of every block of `space`."""
    return _count_all(space, "params", "params", PARAMS, count_params)


def bitops_cost(space: SearchSpace) -> TableCost:
    """BitOps of every choice of every block of `space`, at batch 1."""
    return _count_all(space, "bitops", "BitOps", BITOPS, count_bitops, fixed=False)


def weight_bits_cost(space: SearchSpace) -> TableCost:
    """Bits of the packed weights of every choice of every block of `space`."""
    return _count_all(space, "weight_bits", "bits", WEIGHT_BITS, count_weight_bits)


def _layers(module: nn.Module, input_shape: Shape) -> list[tuple[nn.Module, int]]:
    """Convolutions and linear layers with their MACs, recorded by hooks in a forward pass on the meta device."""
    layers: list[tuple[nn.Module, int]] = []

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        layers.append((layer, output.numel() * weight[0].numel()))

    for layer in module.modules():
        if (
            not isinstance(layer, nn.Conv2d | nn.Linear | WITHOUT_MACS | TracedPart)
            and type(layer) is not nn.Module  # holds layers and scales of a TracedPart
            and next(layer.parameters(recurse=False), None) is not None
        ):
            raise UnknownSpace(
                f"the MACs of {type(layer).__name__} layers cannot be counted. Build the blocks of the space from "
                f"Conv2d and Linear layers"
            )
    counted = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in counted]
    with torch.no_grad():
        _without_macs(module.eval())(torch.empty(1, *input_shape, device="meta"))
    for handle in handles:
        handle.remove()
    return layers


def _count_by_operator(module: nn.Module, input_shape: Shape) -> int:
    """Multiply-adds of a part of a user's model that computes with functions, such as matmul, beside its layers."""
    from torch.utils.flop_counter import FlopCounterMode  # takes a tenth as long to import as torch

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(torch.empty(1, *input_shape, device="meta"))
    return int(counter.get_total_flops()) // 2


def _without_macs(module: nn.Module) -> nn.Module:
    """A copy of `module` without layers that have no MACs and keep shapes, which would take most of the time."""
    copy = replicate(module)
    for name, child in module.named_children():
        skipped = isinstance(child, WITHOUT_MACS | nn.ReLU | nn.ReLU6)
        copy._modules[name] = nn.Identity() if skipped else _without_macs(child)
    return copy


def _count_all(
    space: SearchSpace, name: str, unit: str, convention: str, count: Count, fixed: bool = True
) -> TableCost:
    builder = builder_of(space)

    @cache  # most blocks of a stage have the same geometry
    def count_block(spec: ChoiceBlock) -> int:
        """Of a block with one choice."""
        module = builder.build_block(spec, spec.choices[0], STANDALONE)
        return count(module, (spec.c_in, spec.size_px, spec.size_px))

    with torch.device("meta"):
        last = space.blocks[-1]
        stem = count(builder.build_stem(space, STANDALONE), space.input_shape)
        head = count(builder.build_head(space, STANDALONE), (last.c_out, last.out_px, last.out_px))
        rows = tuple(
            {choice.key: count_block(replace(block, choices=(choice,))) for choice in block.choices}
            for block in space.blocks
        )
    return TableCost(name, unit, stem + head if fixed else 0, rows, convention)
