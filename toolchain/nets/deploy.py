"""A trained network of 1 to 4 bits as integers for export, with batch normalization folded into them.

The batch normalization after a quantized convolution becomes part of the weights' scales, one for each output channel,
and a bias on the grid of the integer sums (see `exporters.quantize.weight_quantization`). The bias is rounded, so the
exported network differs slightly from the trained one. `deployed` computes the exported network in torch; runtimes are
compared with it.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from exporters.errors import ExportFailed
from exporters.quantize.integer_layer import IntegerWeights
from exporters.quantize.weight_quantization import refine_codes
from toolchain.nets.quantizers import QuantConv2d, levels


class IntegerConv2d(nn.Module):
    """A convolution of integer codes, computed exactly: (N, c_in, H, W) -> (N, c_out, H/s, W/s).

    Runtimes are compared with it. It adds in float64, where integers of this size add up exactly.
    """

    def __init__(self, layer: IntegerWeights, stride: int, padding: int) -> None:
        super().__init__()
        self.layer, self.stride, self.padding = layer, stride, padding
        self.register_buffer("codes", torch.from_numpy(layer.codes).double(), persistent=False)
        self.register_buffer("bias", torch.from_numpy(layer.bias), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.codes, Tensor)
        assert isinstance(self.bias, Tensor)
        assert self.layer.x_levels is not None
        codes = (x / float(self.layer.x_scale)).round().clamp(0, self.layer.x_levels)
        sums = F.conv2d(codes.double(), self.codes, None, self.stride, self.padding).float()
        step = torch.from_numpy(self.layer.x_scale * self.layer.scale)
        return sums * step.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def integer_weights(conv: QuantConv2d, norm: nn.BatchNorm2d) -> IntegerWeights:
    """A convolution and its batch normalization as codes, scales and a bias.

    Raises:
        ExportFailed: the batch normalization has no running statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ExportFailed("a batch normalization has no running statistics. Recalibrate the network first")
    codes, w_scale = conv.weight_codes()
    with torch.no_grad():
        factor = (norm.running_var.double() + norm.eps).rsqrt()
        gain = factor if norm.weight is None else norm.weight.double() * factor
        bias = -norm.running_mean.double() * gain + (0.0 if norm.bias is None else norm.bias.double())
        # scales are above 0, so a negative gain changes the sign of the codes, which are symmetric
        signed = codes * torch.where(gain < 0, -1, 1).to(torch.int8).view(-1, 1, 1, 1)
        scale = (gain.abs() * w_scale.double()).numpy().astype(np.float32)
        x_scale = np.float32(conv.activation_scale().item())
    refined = refine_codes(signed.numpy(), scale, bias.numpy().astype(np.float32), x_scale)
    return IntegerWeights(*refined, x_scale, levels(conv.a_bits))


def integer_layers(net: nn.Module) -> dict[str, IntegerWeights]:
    """Every quantized convolution of `net` with its batch normalization as integers, by the name of its weight.

    Raises:
        ExportFailed: a quantized convolution is not directly followed by a batch normalization with running statistics.
    """
    layers = {pair.weight: integer_weights(pair.conv, pair.norm) for pair in _pairs(net)}
    names = [f"{name}.weight" for name, layer in net.named_modules() if isinstance(layer, QuantConv2d)]
    if unpaired := [name for name in names if name not in layers]:
        raise ExportFailed(
            f"no batch normalization directly follows the quantized convolution of {', '.join(unpaired)}. Put both "
            f"next to each other into one nn.Sequential"
        )
    return layers


def deployed(net: nn.Module) -> nn.Module:
    """A copy of `net` in eval mode that computes with the exported integers; the reference of the profile `exact`."""
    layers = integer_layers(net)
    return _replace_pairs(net, lambda name, conv: _reference(layers[name], conv))


@torch.no_grad()
def folding_error(net: nn.Module, layers: Mapping[str, IntegerWeights], images: Tensor) -> float:
    """The largest error of a layer's integers, relative to the layer's largest output.

    Each layer gets the input that it has for `images` (N, C, H, W). The half step by which its bias is rounded does not
    count as an error. Rounding in float32 gives about 1e-6; a wrong eps, swapped channels or a missing normalization
    give much more.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    handles = []
    pairs = list(_pairs(net))
    for pair in pairs:
        handles += _record(pair, seen)
    try:
        net.eval()(images)
    finally:
        for handle in handles:
            handle.remove()
    worst = 0.0
    for pair in pairs:
        (x, y), layer = seen[pair.weight], layers[pair.weight]
        error = (_reference(layer, pair.conv)(x) - y).abs().amax((0, 2, 3))
        excess = error - torch.from_numpy(layer.x_scale * layer.scale) / 2
        worst = max(worst, float(excess.max() / y.abs().max()))
    return worst


def _record(pair: "_Pair", seen: dict[str, tuple[Tensor, Tensor]]) -> list[RemovableHandle]:
    """Record the input of the convolution and the output of its normalization, as copies: a ReLU may work in place."""
    inputs: list[Tensor] = []

    def before(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        inputs.append(args[0].clone())

    def after(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        seen[pair.weight] = (inputs[-1], output.clone())

    return [pair.conv.register_forward_pre_hook(before), pair.norm.register_forward_hook(after)]


def dequantized(net: nn.Module) -> nn.Module:
    """A copy of `net` in eval mode with ordinary convolutions instead of quantized ones.

    Their weights are those of `integer_layers` as floats; their inputs are not rounded. `exporters.quantize.qcdq` puts
    the integers into its exported graph.
    """
    layers = integer_layers(net)

    def ordinary(name: str, conv: QuantConv2d) -> nn.Module:
        layer = layers[name]
        stride, padding = conv.stride[0], int(conv.padding[0])
        result = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size[0], stride, padding)
        result.weight.data = torch.from_numpy(layer.codes * layer.scale.reshape(-1, 1, 1, 1))
        assert result.bias is not None
        result.bias.data = torch.from_numpy(layer.bias)
        return result

    return _replace_pairs(net, ordinary)


def _reference(layer: IntegerWeights, conv: QuantConv2d) -> IntegerConv2d:
    return IntegerConv2d(layer, conv.stride[0], int(conv.padding[0]))


@dataclass(frozen=True)
class _Pair:
    """A quantized convolution and the batch normalization after it, in the same nn.Sequential."""

    sequential: nn.Sequential
    weight: str  # name of the convolution's weight in the network
    conv: QuantConv2d
    norm_name: str
    norm: nn.BatchNorm2d


def _pairs(net: nn.Module) -> Iterator[_Pair]:
    for prefix, layer in list(net.named_modules()):
        if isinstance(layer, nn.Sequential):
            # not named_children(), which omits the second use of a module, so that neighbors would be wrong
            for (name, conv), (norm_name, norm) in pairwise(list(layer._modules.items())):
                if isinstance(conv, QuantConv2d) and isinstance(norm, nn.BatchNorm2d):
                    yield _Pair(layer, f"{prefix}.{name}.weight".lstrip("."), conv, norm_name, norm)


def _replace_pairs(net: nn.Module, make: Callable[[str, QuantConv2d], nn.Module]) -> nn.Module:
    """A copy of `net` with `make(weight name, convolution)` in place of each pair of convolution and normalization."""
    copy = deepcopy(net).eval()
    for pair in list(_pairs(copy)):
        setattr(pair.sequential, pair.weight.split(".")[-2], make(pair.weight, pair.conv))
        setattr(pair.sequential, pair.norm_name, nn.Identity())
    return copy
