"""Batch normalisation, folded into the convolution before it."""

from copy import deepcopy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from exporters.errors import ExportFailed


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy of `module` in eval mode, in which no batch normalisation is left.

    Folded is what directly follows a convolution in an `nn.Sequential`.

    Raises:
        ExportFailed: a normalisation has no running statistics, or follows no convolution.
    """
    folded = deepcopy(module).eval()
    for sequence in [layer for layer in folded.modules() if isinstance(layer, nn.Sequential)]:
        for position in range(len(sequence) - 1):
            conv, norm = sequence[position], sequence[position + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                if norm.running_mean is None:
                    raise ExportFailed(
                        "a batch normalisation has no running statistics, so its output would depend on the batch. "
                        "Recalibrate the network first"
                    )
                sequence[position] = fuse_conv_bn_eval(conv, norm)
                sequence[position + 1] = nn.Identity()
    left = [name for name, layer in folded.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    if left:
        raise ExportFailed(f"batch normalisation without a convolution before it: {', '.join(left)}")
    return folded
