"""Batch normalisation whose batch is spread over several processes.

torch's SyncBatchNorm does this on GPUs alone. Here the sums go through torch.distributed on any device, so that two
processes with 64 images each train as one with 128 (docs/decisions/0030-ranks.md).
"""

from typing import Any

import torch
from torch import Tensor, nn

from toolchain.distributed import gather_over_ranks, sum_over_ranks

IMAGES_AND_PIXELS = (0, 2, 3)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d that normalises by the statistics of all processes' batches: (N, C, H, W) -> (N, C, H, W).

    Every process must go through it with a batch of the same size. In eval mode with running statistics it is an
    ordinary one.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.running_mean is not None:
            return super().forward(x)
        mean, var, count = _statistics(x)
        if self.training and self.running_mean is not None and self.running_var is not None:
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            kept = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum  # type: ignore[arg-type]
            self.running_mean.lerp_(mean, kept)
            self.running_var.lerp_(var * (count / max(1, count - 1)), kept)  # unbiased, as torch's
        out: Tensor = _Normalise.apply(x, self.weight, self.bias, mean, (var + self.eps).rsqrt(), count)
        return out


@torch.no_grad()
def _statistics(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and variance of each channel over all processes, float32 (C,), and how many values they are of.

    Means and variances are combined, not sums of squares, which cancel where the mean is large.
    """
    var, mean = torch.var_mean(x.float(), dim=IMAGES_AND_PIXELS, correction=0)
    means, variances = gather_over_ranks(torch.stack((mean, var))).unbind(1)  # (world, C) each
    whole = means.mean(0)
    return whole, variances.mean(0) + (means - whole).square().mean(0), len(means) * x.numel() // x.shape[1]


class _Normalise(torch.autograd.Function):
    """(x - mean) * inverse_std * weight + bias, whose gradient goes through mean and std as well."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse_std: Tensor, count: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, inverse_std)
        ctx.count = count
        scale = inverse_std if weight is None else inverse_std * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        return torch.addcmul(_wide(shift, x), x, _wide(scale, x)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        x, weight, mean, inverse_std = ctx.saved_tensors
        g = g.to(x.dtype)
        normal = (x.float() - _wide(mean, x)) * _wide(inverse_std, x)
        bias_gradient = g.float().sum(IMAGES_AND_PIXELS)
        weight_gradient = (g * normal).sum(IMAGES_AND_PIXELS)
        sums = torch.stack((bias_gradient, weight_gradient))
        sum_over_ranks([sums])
        of_mean, of_std = sums / ctx.count
        scale = inverse_std if weight is None else inverse_std * weight
        inner = g - _wide(of_mean, x) - normal * _wide(of_std, x)
        x_gradient = (inner * _wide(scale, x)).to(x.dtype)
        if weight is None:
            return x_gradient, None, None, None, None, None
        return x_gradient, weight_gradient, bias_gradient, None, None, None  # the parameters': of this process's images


def _wide(channels: Tensor, like: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, 1)."""
    return channels.view(1, -1, 1, 1)
