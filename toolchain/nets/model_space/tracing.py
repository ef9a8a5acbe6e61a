"""The graph of a model: `torch.fx`, with every subclass of a torch layer as one node.

The graph is that of evaluation. Where training differs in a flag only, as `F.dropout(x, training=self.training)`, the
flag is read from the module that runs the graph.
"""

import inspect
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, Node, Tracer

from exporters.errors import first_line
from toolchain.errors import UnknownSpace
from toolchain.spaces.user_file import printable_path

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
STOCHASTIC_DEPTH = ("StochasticDepth", "DropPath")  # classes of other packages, which are layers too
# torch.fx traces x += y as x + y
IN_PLACE: dict[Any, Callable[..., Any]] = {
    getattr(module, f"{name}_"): getattr(module, name)
    for module in (torch, nn.functional)
    for name in ("relu", "leaky_relu", "elu", "celu", "selu", "hardtanh", "sigmoid", "tanh", "clamp", "dropout")
    if hasattr(module, name) and hasattr(module, f"{name}_")
}
LIBRARIES = ("torch/fx", "torch/_", "torch/nn/modules/module.py", "torch/utils")


class _LayerTracer(Tracer):
    proxy_buffer_attributes = True  # a value that is read while tracing would be that of the initial weights

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_layer(m) or type(m).__name__ in STOCHASTIC_DEPTH or super().is_leaf_module(m, module_qualified_name)


def is_layer(module: nn.Module) -> bool:
    """Whether a module is a layer of torch, or of a class derived from one."""
    bases = [base for base in type(module).__mro__ if base.__module__.startswith("torch.nn.modules")]
    return any(base is not nn.Module and not issubclass(base, CONTAINERS) for base in bases)


def trace(model: nn.Module, name: str) -> Graph:
    """The graph of `model`; each node has `nn_module_stack` in its meta, the modules that it is part of.

    No node changes the value of another one: operations in place are replaced, or their result is used instead.

    Args:
        name: of the space, for messages.

    Raises:
        UnknownSpace: the model cannot be traced.
    """
    was_training = model.training
    defaults = _defaults(model)
    try:
        graph = _LayerTracer().trace(model.eval(), concrete_args=defaults)
    except Exception as problem:  # whatever the user's model raises
        raise UnknownSpace(
            f"{name} cannot be traced: {_useful_line(problem)}. The forward function must take one batch of images, "
            f"and its control flow must not depend on values or shapes of tensors. Move such code out of forward"
        ) from None
    finally:
        model.train(was_training)
    _erase_assertions(graph, defaults)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if any(node.users for node in inputs[1:]) or not inputs:
        raise UnknownSpace(f"the model of {name} takes {len(inputs)} inputs. Give a model that takes images alone")
    for node in inputs[1:]:
        graph.erase_node(node)
    _read_training_flag(graph, model, defaults)
    _without_effects(graph, model)
    graph.lint()
    return graph


def _useful_line(problem: Exception) -> str:
    """The last line of the model's own code that was traced, and the first line of the message."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = [frame for frame in frames if not any(part in frame.filename for part in LIBRARIES)]
    message = first_line(problem)
    if len(own) < 2:  # the first one is in this file
        return message
    place = f"{printable_path(Path(own[-1].filename))}, line {own[-1].lineno}"
    return f"{place} ({own[-1].line}): {message}" if own[-1].line else f"{place}: {message}"


def _defaults(model: nn.Module) -> dict[str, Any]:
    """The arguments of the forward function that have default values, which they keep."""
    try:
        _, *others = inspect.signature(model.forward).parameters.values()
    except ValueError:  # no argument at all, or a compiled function without a signature
        return {}
    return {argument.name: argument.default for argument in others if argument.default is not argument.empty}


def _erase_assertions(graph: Graph, defaults: Mapping[str, Any]) -> None:
    """Remove the assertions that torch.fx writes for arguments with a fixed value."""
    for node in [node for node in graph.nodes if node.op == "placeholder"][1:]:
        if any(str(node.target).startswith(name) for name in defaults):  # torch.fx adds a number
            for user in reversed(list(node.users)):
                for assertion in list(user.users):
                    graph.erase_node(assertion)
                graph.erase_node(user)


def _read_training_flag(graph: Graph, model: nn.Module, defaults: dict[str, Any]) -> None:
    """Replace constants that differ between training and evaluation by `self.training`."""
    was_training = model.training
    try:
        training = _LayerTracer().trace(model.train(), concrete_args=defaults)
    except Exception:  # stochastic depth draws numbers for the images of a batch; it is left out
        return
    finally:
        model.train(was_training)
    _erase_assertions(training, defaults)
    ours, theirs = list(graph.nodes), list(training.nodes)
    if [(node.op, node.target) for node in ours] != [(node.op, node.target) for node in theirs]:
        return  # such as a loss of an auxiliary head, which evaluation does not have
    for node, other in zip(ours, theirs, strict=True):
        differs = [value != twin for value, twin in zip(_constants(node), _constants(other), strict=False)]
        if not any(differs):
            continue
        with graph.inserting_before(node):
            flag = graph.create_node("get_attr", "training")
            flag.meta = {"nn_module_stack": node.meta.get("nn_module_stack", {})}
        node.args = tuple(flag if _is_flag(a, b) else a for a, b in zip(node.args, other.args, strict=True))
        node.kwargs = {key: flag if _is_flag(a, other.kwargs.get(key)) else a for key, a in node.kwargs.items()}


def _constants(node: Node) -> list[object]:
    return [value for value in (*node.args, *node.kwargs.values()) if not isinstance(value, Node)]


def _is_flag(value: Any, other: Any) -> bool:
    return value is False and other is True


def _without_effects(graph: Graph, model: nn.Module) -> None:
    """Let later users of a value that an operation changes in place use the operation's result."""
    order = {node: number for number, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if not node.args or not isinstance(node.args[0], Node) or not _is_in_place(node, model):
            continue
        for changed in _same_tensor(node.args[0], model):
            for user in [user for user in changed.users if order[user] > order[node]]:
                user.replace_input_with(changed, node)
        _out_of_place(node)


def _same_tensor(node: Node, model: nn.Module) -> list[Node]:
    """The values that are the tensor of `node`, since nn.Identity gives its input itself."""
    while _is_identity(node, model) and isinstance(node.args[0], Node):
        node = node.args[0]
    same = [node]
    for value in same:  # grows
        same += [user for user in value.users if _is_identity(user, model)]
    return same


def _is_identity(node: Node, model: nn.Module) -> bool:
    return node.op == "call_module" and type(model.get_submodule(str(node.target))) is nn.Identity


def _is_in_place(node: Node, model: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    return node.target in IN_PLACE or node.kwargs.get("inplace") is True


def _out_of_place(node: Node) -> None:
    """The same operation with a result of its own. Layers with `inplace` are changed where parts are built."""
    if node.op == "call_method":
        node.target = str(node.target).removesuffix("_")
    elif node.op == "call_function":
        node.target = IN_PLACE.get(node.target, node.target)
        if "inplace" in node.kwargs:
            node.kwargs = {**node.kwargs, "inplace": False}
