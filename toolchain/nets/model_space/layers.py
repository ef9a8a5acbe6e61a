"""Copies of a model's layers with fewer channels, and with the batch normalization that a network needs."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from toolchain.nets.blocks import Norm
from toolchain.nets.shared_norm import SharedBatchNorm2d
from toolchain.nets.supernet import replicate

Sizes = Mapping[int, int]  # dimension of a parameter -> entries that remain


def narrowed(layer: nn.Module, sizes: Mapping[str, Sizes], norm: Norm) -> nn.Module:
    """A copy of `layer` with leading slices of its parameters, on torch's default device.

    Args:
        sizes: the remaining entries of each parameter that is cut, by its name in the layer.
        norm: statistics of a batch normalization; its scale and offset are those of the layer.
    """
    if type(layer) is nn.BatchNorm2d:
        return _batch_norm(layer, sizes.get("weight", sizes.get("running_mean", {})), norm)
    copy = replicate(layer)
    for path, module in copy.named_modules():
        prefix = f"{path}." if path else ""
        _own_hooks(module)
        for leaf, value in module._parameters.items():
            if value is not None:
                module._parameters[leaf] = parameter(value, sizes.get(f"{prefix}{leaf}", {}))
        _copy_buffers(module, sizes, prefix, norm)
    set_channels(copy)
    return copy


def _own_hooks(module: nn.Module) -> None:
    """Give a replica hooks of its own: with shared ones, a hook of one block would run in all that are built alike."""
    for name, value in list(vars(module).items()):
        if isinstance(value, OrderedDict):
            vars(module)[name] = value.copy()


def frozen(value: Tensor, sizes: Sizes) -> nn.Parameter:
    """A buffer as a parameter that is not trained; a supernet passes parameters only on to its networks."""
    return nn.Parameter(sliced(value, sizes), requires_grad=False)


def parameter(value: Tensor, sizes: Sizes) -> nn.Parameter:
    """A copy of a leading slice of `value`, trained if it is of floating point, on torch's default device."""
    return nn.Parameter(sliced(value, sizes), requires_grad=value.is_floating_point())


def sliced(value: Tensor, sizes: Sizes) -> Tensor:
    """A copy of the leading entries of `value`, on torch's default device."""
    shape = tuple(sizes.get(dim, size) for dim, size in enumerate(value.shape))
    if torch.empty(0).device.type == "meta":
        return torch.empty(shape, dtype=value.dtype)
    return value.detach()[tuple(map(slice, shape))].clone()


def _batch_norm(layer: nn.BatchNorm2d, sizes: Sizes, norm: Norm) -> nn.BatchNorm2d:
    layer_class = SharedBatchNorm2d if norm.shared else nn.BatchNorm2d
    channels = sizes.get(0, layer.num_features)
    copy = layer_class(
        channels, eps=layer.eps, momentum=layer.momentum, affine=layer.affine, track_running_stats=norm.statistics
    )
    if layer.affine:
        copy.weight, copy.bias = parameter(layer.weight, sizes), parameter(layer.bias, sizes)
    return copy


def _copy_buffers(module: nn.Module, sizes: Mapping[str, Sizes], prefix: str, norm: Norm) -> None:
    """Statistics of a batch normalization begin anew or are left out; other buffers become frozen parameters."""
    if isinstance(module, nn.BatchNorm2d):
        channels = sizes.get(f"{prefix}running_mean", {}).get(0, module.num_features)
        _begin_statistics(module, channels, norm.statistics)
        return
    for leaf, value in list(module._buffers.items()):
        if value is not None:
            del module._buffers[leaf]
            module._parameters[leaf] = frozen(value, sizes.get(f"{prefix}{leaf}", {}))


def _begin_statistics(module: nn.BatchNorm2d, channels: int, statistics: bool) -> None:
    module.track_running_stats = statistics
    module._buffers["running_mean"] = torch.zeros(channels) if statistics else None
    module._buffers["running_var"] = torch.ones(channels) if statistics else None
    module._buffers["num_batches_tracked"] = torch.tensor(0) if statistics else None
    module.num_features = channels


def set_channels(layer: nn.Module) -> None:
    """Set a layer's numbers of channels to those of its parameters."""
    weight = getattr(layer, "weight", None)
    if isinstance(layer, nn.Conv2d):
        assert isinstance(weight, Tensor)
        per_group = layer.out_channels // layer.groups
        layer.out_channels = weight.shape[0]
        if layer.groups > 1:
            layer.groups = weight.shape[0] // per_group
        layer.in_channels = weight.shape[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.BatchNorm2d):
        vector = layer.running_mean if weight is None else weight
        layer.num_features = layer.num_features if vector is None else len(vector)
    elif isinstance(layer, nn.GroupNorm) and isinstance(weight, Tensor):
        layer.num_groups = layer.num_groups * len(weight) // layer.num_channels
        layer.num_groups, layer.num_channels = max(1, layer.num_groups), len(weight)
    elif isinstance(layer, nn.LayerNorm) and isinstance(weight, Tensor):
        layer.normalized_shape = tuple(weight.shape)
    elif isinstance(layer, nn.PReLU) and isinstance(weight, Tensor):
        layer.num_parameters = len(weight)
