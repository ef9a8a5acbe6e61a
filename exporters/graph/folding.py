"""Folds batch normalization into the convolution before it.

In eval mode the pair is one affine map, so one convolution with a bias computes the same.
"""

from copy import deepcopy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from exporters.errors import ExportFailed


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy of `module` in eval mode without batch normalization.

    A normalization is folded if it directly follows a plain convolution in an `nn.Sequential`. Other layers keep
    their names.

    Raises:
        ExportFailed: a normalization has no running statistics, or does not directly follow a convolution.
    """
    folded = deepcopy(module).eval()
    _require_statistics(folded)
    for layer in folded.modules():
        if isinstance(layer, nn.Sequential):
            _fold_sequential(layer)
    remaining = _norms(folded)
    if remaining:
        raise ExportFailed(
            f"no convolution comes directly before the batch normalization {', '.join(remaining)}, so it cannot be "
            f"folded. Put both into one nn.Sequential, side by side"
        )
    return folded


def _require_statistics(module: nn.Module) -> None:
    without = [name for name, norm in _norms(module).items() if norm.running_mean is None]
    if without:
        raise ExportFailed(
            f"the batch normalization {', '.join(without)} has no running statistics, so its output would "
            f"depend on the rest of the batch. Recalibrate the network first"
        )


def _fold_sequential(sequential: nn.Sequential) -> None:
    # named_children() skips the second use of a module, so the pairs would be wrong
    for (conv_name, conv), (norm_name, norm) in pairwise(list(sequential._modules.items())):
        # a subclass may transform its weight before it convolves; then the fused weight is wrong
        if type(conv) is nn.Conv2d and isinstance(norm, nn.BatchNorm2d):
            setattr(sequential, conv_name, fuse_conv_bn_eval(conv, norm))
            delattr(sequential, norm_name)


def _norms(module: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.BatchNorm2d)}
