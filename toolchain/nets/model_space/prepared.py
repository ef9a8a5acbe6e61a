"""What a user's model needs before it is traced: float32, batch normalization of one process, no wrappers."""

import copy

from torch import nn
from torch.nn.utils import parametrize

from toolchain.errors import UnknownSpace

WRAPPED = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}
OLD_NORMS = ("WeightNorm", "SpectralNorm")  # hooks of torch.nn.utils.weight_norm and spectral_norm


def prepared(model: nn.Module, name: str) -> nn.Module:
    """A copy of the model itself, without a wrapper: a user's function may give the same object again.

    Args:
        name: of the space, for messages.

    Raises:
        UnknownSpace: a layer computes its weights, or keeps statistics that are not those of nn.BatchNorm2d.
    """
    while attribute := WRAPPED.get(type(model).__name__):
        model = getattr(model, attribute)
    for path, layer in model.named_modules():
        _check(layer, path or type(layer).__name__, name)
    return _without_synchronization(copy.deepcopy(model).float())


def _without_synchronization(module: nn.Module) -> nn.Module:
    """The same with nn.BatchNorm2d for nn.SyncBatchNorm; several processes synchronize what nastool trains itself."""
    for leaf, child in module.named_children():
        setattr(module, leaf, _without_synchronization(child))
    if type(module) is not nn.SyncBatchNorm:
        return module
    norm = nn.BatchNorm2d(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
    norm.load_state_dict(module.state_dict())
    return norm.train(module.training)


def _check(layer: nn.Module, path: str, name: str) -> None:
    hooks = [type(hook).__name__ for hook in layer._forward_pre_hooks.values()]
    if parametrize.is_parametrized(layer) or any(hook in OLD_NORMS for hook in hooks):
        raise UnknownSpace(
            f"{name}: the weights of {path} are computed (weight_norm, spectral_norm or another parametrization). Make "
            f"them plain before, as with torch.nn.utils.parametrize.remove_parametrizations"
        )
    if not isinstance(layer, nn.modules.batchnorm._NormBase):
        return
    if isinstance(layer, nn.BatchNorm2d) and not layer.track_running_stats:
        raise UnknownSpace(
            f"{name}: the batch normalization {path} keeps no running statistics. Build it with "
            f"track_running_stats=True"
        )
    if not isinstance(layer, nn.BatchNorm2d | nn.SyncBatchNorm) and layer.track_running_stats:
        raise UnknownSpace(
            f"{name}: {path} is a {type(layer).__name__}, and of layers with running statistics only BatchNorm2d is "
            f"supported. Use that, or a normalization without statistics"
        )
