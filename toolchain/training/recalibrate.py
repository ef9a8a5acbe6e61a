"""BN recalibration: the statistics of one path, from training images (paper Sec. 3.4)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from toolchain.parallel.collectives import sum_over_ranks
from toolchain.training.data import Preprocessing


@torch.no_grad()
def recalibrate(net: nn.Module, pixel_batches: Iterable[Tensor], preprocessing: Preprocessing) -> None:
    """Set the statistics of every batch normalization of `net` to the mean over the batches; leaves `net` in eval mode.

    The mean is cumulative: each batch (uint8 (N, C, S, S)) has the same weight. A running average with momentum 0.1, as
    in the official code, depends on the last twenty batches only. Nothing but the statistics changes, and no random
    number is drawn.
    """
    device = next(net.parameters()).device
    forget_statistics(net, device)
    for pixels in pixel_batches:
        net(preprocessing(pixels.to(device)))
    net.eval()


def forget_statistics(module: nn.Module, device: torch.device) -> None:
    """Reset the statistics of `module`; each forward pass then adds the statistics of its batch to the mean.

    Only batch normalization layers are in train mode. `eval()` ends recalibration.
    """
    module.eval()
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = True
        norm.running_mean = torch.zeros(norm.num_features, device=device)
        norm.running_var = torch.ones(norm.num_features, device=device)
        norm.num_batches_tracked = torch.tensor(0, device=device)
        norm.momentum = None  # a cumulative mean
        norm.train()


@torch.no_grad()
def average_statistics(net: nn.Module) -> None:
    """Combine the statistics of all processes after each recalibrated on its own batches.

    Each batch has the same weight. The result equals that of one process with all batches, except for the order of
    sums.
    """
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    if not norms:
        return
    counts = [norm.num_batches_tracked.to(torch.float32) for norm in norms]  # type: ignore[union-attr]
    sums = [
        statistic * count
        for norm, count in zip(norms, counts, strict=True)
        for statistic in (norm.running_mean, norm.running_var)
        if statistic is not None
    ]
    sum_over_ranks([*sums, *counts])
    for norm, count, mean, var in zip(norms, counts, sums[::2], sums[1::2], strict=True):
        norm.running_mean, norm.running_var = mean / count, var / count
        norm.num_batches_tracked = count.to(torch.int64)
