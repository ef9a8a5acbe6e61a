"""A faster weight gradient on CPUs for depthwise convolutions with large kernels on small maps.

For these, oneDNN spends most of its time outside the map (docs/decisions/0022-data-loading-and-training-speed.md).
For each channel the gradient is the correlation of two small maps over the batch. It is computed as one matrix product
of all input pixels with all output pixels, whose entries are then summed by the kernel position that connects the two.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from toolchain.nets.supernet import SharedBlock

MIN_KERNEL = 5  # the gradient of 3 x 3 kernels is fast in oneDNN


def accelerate_depthwise(model: nn.Module) -> None:
    """Use the faster gradient in each large depthwise convolution of `model`. Weights and their names do not change."""
    narrower = [part for block in model.modules() if isinstance(block, SharedBlock) for part in block.choice_modules()]
    for parent in [layer for root in (model, *narrower) for layer in root.modules()]:
        for name, conv in list(parent.named_children()):
            if type(conv) is nn.Conv2d and _is_large_depthwise(conv):
                parent.add_module(name, DepthwiseConv2d.of(conv))


def _is_large_depthwise(conv: nn.Conv2d) -> bool:
    depthwise = (conv.in_channels, conv.in_channels) == (conv.out_channels, conv.groups)
    kernel = conv.kernel_size[0]
    square = conv.kernel_size == (kernel, kernel) and conv.padding == (kernel // 2, kernel // 2)
    plain = conv.dilation == (1, 1) and conv.stride[0] == conv.stride[1] and conv.padding_mode == "zeros"
    return depthwise and square and plain and conv.bias is None and kernel >= MIN_KERNEL


class DepthwiseConv2d(nn.Conv2d):
    """nn.Conv2d with one k x k filter per channel: (N, C, H, W) -> (N, C, H/s, W/s). Its outputs are nn.Conv2d's."""

    @classmethod
    def of(cls, conv: nn.Conv2d) -> "DepthwiseConv2d":
        """`conv` with the faster gradient; both share one weight tensor."""
        with torch.device("meta"):
            layer = cls(
                conv.in_channels,
                conv.out_channels,
                conv.kernel_size,  # type: ignore[arg-type]
                conv.stride,  # type: ignore[arg-type]
                conv.padding,  # type: ignore[arg-type]
                groups=conv.groups,
                bias=False,
            )
        layer.weight = conv.weight
        return layer.train(conv.training)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        output = max((side - 1) // stride + 1 for side in x.shape[2:])
        if output > kernel or x.device.type != "cpu" or not self.weight.requires_grad or not torch.is_grad_enabled():
            return super().forward(x)
        out: Tensor = _Convolve.apply(x, self.weight, stride)
        return out


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return nn.functional.conv2d(x, weight, None, stride, weight.shape[2] // 2, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        (g,) = gradients
        x, weight = ctx.saved_tensors
        to_x = None
        if ctx.needs_input_grad[0]:
            stride, padding = [ctx.stride] * 2, [weight.shape[2] // 2] * 2
            to_x = torch.ops.aten.convolution_backward(
                g, x, weight, None, stride, padding, [1, 1], False, [0, 0], len(weight), [True, False, False]
            )[0]
        return to_x, weight_gradient(x, g, weight.shape[2], ctx.stride), None


def weight_gradient(x: Tensor, g: Tensor, kernel: int, stride: int) -> Tensor:
    """The weight gradient (C, 1, k, k) of a depthwise convolution with input `x` (N, C, H, W), output gradient `g`."""
    n, channels, height, width = x.shape
    inputs = x.permute(1, 2, 3, 0).reshape(channels, -1, n)
    outputs = g.permute(1, 0, 2, 3).reshape(channels, n, -1)
    products = torch.bmm(inputs, outputs).view(channels, -1)  # (C, pixels in x pixels out)
    taps = _taps(height, width, kernel, stride)
    summed = products.new_zeros(channels, kernel * kernel + 1).index_add_(1, taps, products)
    return summed[:, :-1].reshape(channels, 1, kernel, kernel)


@lru_cache(maxsize=256)
def _taps(height: int, width: int, kernel: int, stride: int) -> Tensor:
    """For each pair of input and output pixel, the index of the kernel position that connects them; else kernel^2."""

    def along(side: int) -> Tensor:
        """(side, output side): the kernel position along one axis."""
        centers = torch.arange(0, side, stride)
        return torch.arange(side).unsqueeze(1) - centers + kernel // 2

    rows, columns = along(height)[:, None, :, None], along(width)[None, :, None, :]
    inside = (rows >= 0) & (rows < kernel) & (columns >= 0) & (columns < kernel)
    return torch.where(inside, rows * kernel + columns, kernel * kernel).reshape(-1)
