"""Folds batch normalization into the convolution before it.

In eval mode the pair is one affine map, so one convolution with a bias computes the same.
"""

from collections import Counter
from copy import deepcopy
from itertools import pairwise

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from exporters.errors import ExportFailed, first_line


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy of `module` in eval mode, with each batch normalization folded that directly follows a convolution.

    The pairs are neighbors in an `nn.Sequential`, or in the graph of a module that `torch.fx` can trace. Other layers
    keep their names; a normalization that follows something else stays.

    Raises:
        ExportFailed: a normalization has no running statistics, or the graph that would show what it follows cannot be
            traced.
    """
    folded = deepcopy(module).eval()
    _require_statistics(folded)
    for layer in folded.modules():
        if isinstance(layer, nn.Sequential):
            _fold_sequential(layer)
    if _norms(folded):
        _fold_graph(folded)
    return folded


class _LayerTracer(fx.Tracer):
    """Takes subclasses of torch's layers as layers: one may transform its weight before it convolves."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _fold_graph(module: nn.Module) -> None:
    """Fold the pairs in the graph of `module`, where the normalization alone reads the convolution's output."""
    try:
        graph = _LayerTracer().trace(module)
    except Exception as problem:  # whatever the user's forward function raises
        raise ExportFailed(
            f"the batch normalization {', '.join(_norms(module))} cannot be folded, since the forward function cannot "
            f"be traced: {first_line(problem)}. Put each convolution and its normalization into one nn.Sequential, "
            f"side by side"
        ) from None
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        conv, norm = (module.get_submodule(str(target)) for target in (source.target, node.target))
        once = calls[source.target] == calls[node.target] == 1
        if once and (fused := _fused(conv, norm)):
            module.set_submodule(str(source.target), fused)
            module.set_submodule(str(node.target), nn.Identity())


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
        if fused := _fused(conv, norm):
            setattr(sequential, conv_name, fused)
            delattr(sequential, norm_name)


def _fused(conv: nn.Module | None, norm: nn.Module | None) -> nn.Conv2d | None:
    """The convolution that computes both; None if they are other layers.

    A subclass may transform its weight before it convolves, or apply an activation, and so may hooks.
    """
    if type(conv) is not nn.Conv2d or not isinstance(norm, nn.BatchNorm2d):
        return None
    hooked = any((conv._forward_hooks, conv._forward_pre_hooks, norm._forward_hooks, norm._forward_pre_hooks))
    own = type(norm).forward is nn.BatchNorm2d.forward and not hooked
    return fuse_conv_bn_eval(conv, norm) if own else None


def _norms(module: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.BatchNorm2d)}
