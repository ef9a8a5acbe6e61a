"""Batch normalization over a batch that is distributed over several processes.

torch's SyncBatchNorm supports GPUs only. Here the statistics are exchanged with torch.distributed on any device, so two
processes with 64 images each train like one process with 128 (docs/decisions/0030-distributed-training.md).
"""

from typing import Any

import torch
from torch import Tensor, nn

from toolchain.parallel.collectives import gather_over_ranks, sum_over_ranks


class SharedBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d with the batch statistics of all processes: (N, C, H, W) -> (N, C, H, W).

    All processes must call it with batches of the same size. In eval mode with running statistics it equals
    nn.BatchNorm2d.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.running_mean is not None:
            return super().forward(x)
        mean, var, count = _statistics(x)
        if self.training and self.running_mean is not None and self.running_var is not None:
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum  # type: ignore[arg-type]
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(var * (count / max(1, count - 1)), momentum)  # unbiased, as in nn.BatchNorm2d
        out: Tensor = _Normalize.apply(x, self.weight, self.bias, mean, var, self.eps, count)
        return out


@torch.no_grad()
def _statistics(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and variance of each channel over all processes, float32 (C,), and the number of values of each channel.

    It combines means and variances instead of sums of squares, which lose precision if the mean is large.
    """
    # as nn.BatchNorm2d; torch.var_mean takes ten times as long for channels_last memory on CPUs
    mean, var = torch.batch_norm_update_stats(x, None, None, 0.0)
    means, variances = gather_over_ranks(torch.stack((mean, var))).unbind(1)  # (world, C) each
    var_of_means, total_mean = torch.var_mean(means, dim=0, correction=0)
    return total_mean, variances.mean(0) + var_of_means, len(means) * x.numel() // x.shape[1]


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias, with the gradient through mean and var too."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        var: Tensor,
        eps: float,
        count: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps, ctx.count = eps, count
        return torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        x, weight, mean, var = ctx.saved_tensors
        # as if mean and var were constants; weight and bias have the gradients of this process's images
        fixed, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            g, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack((to_bias, to_weight))
        sum_over_ranks([sums])
        # the gradient through mean and var: -scale * (sum(g) + normalized x * sum(g * normalized x)) / count
        inverse_std = (var + ctx.eps).rsqrt()
        scale = inverse_std if weight is None else inverse_std * weight
        of_mean, of_std = (sums * (scale / -ctx.count)).unbind(0)
        slope = of_std * inverse_std
        shift = torch.addcmul(of_mean, slope, mean, value=-1)
        to_x = torch.addcmul(fixed, x, _wide(slope)).add_(_wide(shift)).to(x.dtype)
        if weight is None:
            return to_x, None, None, None, None, None, None
        return to_x, to_weight, to_bias, None, None, None, None


def _wide(channels: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, 1)."""
    return channels.view(1, -1, 1, 1)
