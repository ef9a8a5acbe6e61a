"""BN recalibration: the statistics of one path, from training images (paper Sec. 3.4)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from toolchain.training.data import Preprocessing


@torch.no_grad()
def recalibrate(net: nn.Module, pixel_batches: Iterable[Tensor], preprocessing: Preprocessing) -> None:
    """Give every batch normalisation of `net` the mean of the batches' statistics; leaves `net` in eval mode.

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
