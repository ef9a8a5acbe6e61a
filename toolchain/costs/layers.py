"""Costs of the built-in spaces from the shapes of their layers, without torch.

The layers are listed as the modules in `toolchain/nets` build them; tests hold every cost to the count on the modules
(docs/decisions/0058-costs-from-layers.md).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolchain.costs.core import BITOPS, MACS, PARAMS, WEIGHT_BITS, TableCost
from toolchain.spaces.core import FLOAT_BITS, Choice, ChoiceBlock, SearchSpace, ceil_div
from toolchain.spaces.mbconv import SKIP

_MBCONV = re.compile(r"k(\d+)e(\d+)(?:g(\d+))?")
_SHUFFLE_KERNELS = {"choice_3": 3, "choice_5": 5, "choice_7": 7, "choice_x": 3}


@dataclass(frozen=True)
class Layer:
    """A convolution with `out_px` x `out_px` outputs and its batch normalization; or a classifier, at one pixel."""

    c_in: int
    c_out: int
    out_px: int
    kernel: int = 1
    groups: int = 1
    norm: bool = True
    bias: bool = False
    w_bits: int = FLOAT_BITS
    a_bits: int = FLOAT_BITS

    @property
    def weights(self) -> int:
        return self.c_out * (self.c_in // self.groups) * self.kernel**2

    @property
    def macs(self) -> int:
        return self.weights * self.out_px**2

    @property
    def params(self) -> int:
        """Weights and bias, scale and offset of the normalization, and the clipping level of quantized activations."""
        clip = (self.w_bits, self.a_bits) != (FLOAT_BITS, FLOAT_BITS)
        return self.weights + self.c_out * (2 * self.norm + self.bias) + clip

    @property
    def bitops(self) -> int:
        return self.macs * self.w_bits * self.a_bits

    @property
    def weight_bits(self) -> int:
        return FLOAT_BITS * self.params - self.weights * (FLOAT_BITS - self.w_bits)


Layers = list[Layer]


@dataclass(frozen=True)
class Family:
    """The layers of a family: of the stem, of a choice in its block, and of the head."""

    stem: Callable[[SearchSpace], Layers]
    block: Callable[[ChoiceBlock, Choice], Layers]
    head: Callable[[SearchSpace], Layers]


def has_layers(space: SearchSpace) -> bool:
    """Whether the layers of a space are known here: its family is built in, and it defines no modules."""
    return space.builder is None and space.family in FAMILIES


def layer_costs(space: SearchSpace) -> tuple[TableCost, ...]:
    """MACs, parameters, BitOps and bits of weights of every choice of every block of a space that `has_layers`."""
    family = FAMILIES[space.family]
    fixed = [*family.stem(space), *family.head(space)]
    blocks = [{choice.key: family.block(block, choice) for choice in block.choices} for block in space.blocks]

    def cost(name: str, unit: str, convention: str, value: Callable[[Layer], int], of_fixed: bool = True) -> TableCost:
        rows = tuple({key: sum(map(value, layers)) for key, layers in block.items()} for block in blocks)
        return TableCost(name, unit, sum(map(value, fixed)) if of_fixed else 0, rows, convention)

    return (
        cost("macs", "MACs", MACS, lambda layer: layer.macs),
        cost("params", "params", PARAMS, lambda layer: layer.params),
        cost("bitops", "BitOps", BITOPS, lambda layer: layer.bitops, of_fixed=False),
        cost("weight_bits", "bits", WEIGHT_BITS, lambda layer: layer.weight_bits),
    )


def _stem_conv(space: SearchSpace, channels: int, bias: bool = False) -> Layer:
    return Layer(space.in_channels, channels, ceil_div(space.size_px, space.stem.stride), space.stem.kernel, bias=bias)


def _depthwise(channels: int, out_px: int, kernel: int, bias: bool = False) -> Layer:
    return Layer(channels, channels, out_px, kernel, groups=channels, bias=bias)


def _classifier(space: SearchSpace, channels: int, bias: bool) -> Layer:
    return Layer(channels, space.classes, 1, norm=False, bias=bias)


def _head(space: SearchSpace, conv_bias: bool, bias: bool) -> Layers:
    """1x1 convolution and classifier."""
    last, channels = space.blocks[-1], space.head.channels
    return [Layer(last.c_out, channels, last.out_px, bias=conv_bias), _classifier(space, channels, bias)]


def _shuffle_stem(space: SearchSpace) -> Layers:
    return [_stem_conv(space, space.stem.c_out)]


def _shuffle_block(spec: ChoiceBlock, choice: Choice) -> Layers:
    kernel, px = _SHUFFLE_KERNELS[choice.op], spec.out_px
    kept = spec.c_in if spec.stride == 2 else spec.c_in // 2
    c_main = spec.c_in if spec.stride == 2 else spec.c_in - kept
    c_out, mid = spec.c_out - kept, choice.mid(spec.c_out // 2)
    projection = [_depthwise(spec.c_in, px, kernel), Layer(spec.c_in, spec.c_in, px)] if spec.stride == 2 else []
    if choice.op == "choice_x":
        pairs = ((c_main, mid), (mid, mid), (mid, c_out))
        return [layer for a, b in pairs for layer in (_depthwise(a, px, kernel), Layer(a, b, px))] + projection
    return [
        Layer(c_main, mid, spec.size_px),
        _depthwise(mid, px, kernel),
        Layer(mid, c_out, px),
        *projection,
    ]


def _mbconv(bias: bool) -> Callable[[ChoiceBlock, Choice], Layers]:
    """Blocks of inverted bottlenecks, whose convolutions have a bias or none."""

    def layers(spec: ChoiceBlock, choice: Choice) -> Layers:
        px = spec.out_px
        if choice.key == SKIP:
            same = spec.stride == 1 and spec.c_in == spec.c_out
            return [] if same else [Layer(spec.c_in, spec.c_out, px)]
        match = _MBCONV.fullmatch(choice.key)
        assert match is not None, f"the families of inverted bottlenecks have no choice {choice.key}"
        kernel, expansion, groups = (int(number or 1) for number in match.groups())
        mid = spec.c_in * expansion
        expanded = [Layer(spec.c_in, mid, spec.size_px, groups=groups, bias=bias)] if mid != spec.c_in else []
        return [
            *expanded,
            _depthwise(mid, px, kernel, bias),
            Layer(mid, spec.c_out, px, groups=groups, bias=bias),
        ]

    return layers


def _proxyless_stem(space: SearchSpace) -> Layers:
    channels = space.stem.conv_channels or space.stem.c_out
    conv = _stem_conv(space, channels)
    return [conv, _depthwise(channels, conv.out_px, 3), Layer(channels, space.stem.c_out, conv.out_px)]


def _basic_block(spec: ChoiceBlock, choice: Choice) -> Layers:
    def conv(c_in: int, c_out: int, kernel: int) -> Layer:
        return Layer(c_in, c_out, spec.out_px, kernel, w_bits=choice.w_bits, a_bits=choice.a_bits)

    mid = choice.mid(spec.c_out)
    main = [conv(spec.c_in, mid, 3), conv(mid, spec.c_out, 3)]
    changes = spec.stride != 1 or spec.c_in != spec.c_out
    return [*main, conv(spec.c_in, spec.c_out, 1)] if changes else main


FAMILIES: Mapping[str, Family] = {
    "shufflenet_v2": Family(_shuffle_stem, _shuffle_block, lambda space: _head(space, conv_bias=False, bias=False)),
    "proxyless": Family(_proxyless_stem, _mbconv(bias=False), lambda space: _head(space, conv_bias=False, bias=True)),
    "fbnet": Family(
        lambda space: [_stem_conv(space, space.stem.c_out, bias=True)],
        _mbconv(bias=True),
        lambda space: _head(space, conv_bias=True, bias=True),
    ),
    "resnet": Family(
        lambda space: [_stem_conv(space, space.stem.c_out)],
        _basic_block,
        lambda space: [_classifier(space, space.blocks[-1].c_out, bias=True)],
    ),
}
