"""BN recalibration: the statistics of one path, from training images (paper Sec. 3.4)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from toolchain.parallel.collectives import sum_over_ranks
from toolchain.training.data import Preprocessing


@torch.no_grad()
def recalibrate(net: nn.Module, pixel_batches: Iterable[Tensor], preprocessing: Preprocessing) -> None:
    """Give every batch normalization of `net` the mean of the batches' statistics; leaves `net` in eval mode.

    The mean is cumulative: each batch (uint8, (N, C, S, S)) counts the same. A running average with momentum 0.1,
    as in the official code, remembers only the last twenty batches. Nothing but the statistics changes, and no
    random number is drawn.
    """
    device = next(net.parameters()).device
    forget_statistics(net, device)
    for pixels in pixel_batches:
        net(preprocessing(pixels.to(device)))
    net.eval()


def forget_statistics(module: nn.Module, device: torch.device) -> None:
    """Make `module` ready for recalibration: each forward pass adds its batch's statistics to the mean.

    Only batch normalisations are in train mode then. `eval()` ends it, and they use what they have gathered.
    """
    module.eval()
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = True
        norm.running_mean = torch.zeros(norm.num_features, device=device)
        norm.running_var = torch.ones(norm.num_features, device=device)
        norm.num_batches_tracked = torch.tensor(0, device=device)
        norm.momentum = None  # torch's word for a cumulative mean
        norm.train()


@torch.no_grad()
def average_statistics(net: nn.Module) -> None:
    """Make the statistics those of all batches that the processes saw, after each recalibrated on its own.

    A batch counts the same whichever process it was in. Statistics don't act on each other while they are
    taken, so this is what one process with all batches gets, but for the order of sums.
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
