"""Parts of a traced model: stem, blocks and head, each with its own graph, layers and parameters."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any

from torch import Tensor, nn
from torch.fx import Graph, Node

from toolchain.nets.model_space.shapes import SHAPE, Shape, shape_of
from toolchain.nets.model_space.tracing import STOCHASTIC_DEPTH

Run = Callable[[nn.Module, Tensor], Tensor]
LIBRARIES = ("torch", "torchvision", "timm")
TRAINING = "training"  # attribute of every module
PLAIN = (bool, int, float, complex, str, bytes)
OF_EVERY_MODULE = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class Part:
    """Nodes of a model's graph between two cut points: (N, *input_shape) -> (N, *output_shape).

    Attributes:
        graph: one placeholder, the part's nodes, one output. Targets are relative names.
        layers: the model's own leaf modules by their relative names. They are copied before they are used.
        parameters: parameters and buffers that the forward function reads itself, by their relative names.
        names: the model's name of each layer and parameter, by its relative name.
        unsaved: relative names of the buffers among `parameters` that the model's state_dict does not have.
    """

    graph: Graph
    layers: Mapping[str, nn.Module]
    parameters: Mapping[str, Tensor]
    names: Mapping[str, str]
    input_shape: Shape
    output_shape: Shape
    unsaved: frozenset[str] = frozenset()

    @cached_property
    def run(self) -> Run:
        """The graph as a function of the module that has the layers, and the input."""
        code = self.graph.python_code("self")
        scope: dict[str, Any] = dict(code.globals)
        exec(compile(code.src, "<part of a traced model>", "exec"), scope)
        forward: Run = scope["forward"]
        return forward

    @cached_property
    def reads_input(self) -> frozenset[str]:
        """The layers that read the part's input, or a value that no layer wrote."""
        layers = (node for node in self.graph.nodes if node.op == "call_module")
        return frozenset(
            str(node.target) for node in layers if any(source.op != "call_module" for source in node.all_input_nodes)
        )

    @cached_property
    def signature(self) -> str:
        """Everything but values: two parts with the same signature compute the same function of their weights."""
        own = "\n".join(f"{name} {_own_attributes(layer)}" for name, layer in self.layers.items())
        return f"{self.input_shape} -> {self.output_shape}\n{self.structure()}\n{own}"

    def structure(self, without: str | None = None) -> str:
        """Operators and layers without map sizes.

        Args:
            without: a layer of which only the class is included.
        """
        numbers: dict[Node, str] = {node: f"%{number}" for number, node in enumerate(self.graph.nodes)}
        lines = [_node_text(node, numbers) for node in self.graph.nodes]
        lines += [
            f"{name} {type(layer).__name__ if name == without else _layer_text(layer)}"
            for name, layer in self.layers.items()
        ]
        lines += [f"{name} {tuple(value.shape)}" for name, value in self.parameters.items()]
        return "\n".join(lines)


def part_of(model: nn.Module, nodes: Sequence[Node], entry: Node, result: Node, prefix: str) -> Part:
    """The part with `nodes`, from the value `entry` to the value `result`.

    Args:
        prefix: path of the module that the part is made of; names are relative to it.
    """
    graph, copies = Graph(), dict[Node, Node]()
    copies[entry] = graph.placeholder("x")
    copies[entry].meta[SHAPE] = shape_of(entry)
    layers: dict[str, nn.Module] = {}
    parameters: dict[str, Tensor] = {}
    names: dict[str, str] = {}

    def copied(node: Node) -> Node:
        if node not in copies:  # a parameter is read where it is used
            copies[node] = _copy(node)
        return copies[node]

    def _copy(node: Node) -> Node:
        copy = graph.node_copy(node, copied)
        if node.op in ("call_module", "get_attr") and node.target != TRAINING:
            path = str(node.target)
            relative = path.removeprefix(f"{prefix}.") if prefix else path
            copy.target, names[relative] = relative, path
            if node.op == "call_module":
                layers[relative] = model.get_submodule(path)
            else:
                parameters[relative] = _tensor(model, path)
        return copy

    for node in nodes:
        copies[node] = _copy(node)
    graph.output(copied(result))
    shapes = [shape_of(node) for node in (entry, result)]
    assert shapes[0] is not None
    assert shapes[1] is not None
    saved = model.state_dict().keys()
    unsaved = frozenset(name for name in parameters if names[name] not in saved)
    return Part(graph, layers, parameters, names, shapes[0][1:], shapes[1][1:], unsaved)


def _tensor(model: nn.Module, path: str) -> Tensor:
    parent, _, leaf = path.rpartition(".")
    value = getattr(model.get_submodule(parent), leaf)
    assert isinstance(value, Tensor)
    return value


def _node_text(node: Node, numbers: Mapping[Node, str]) -> str:
    target = "" if node.op in ("placeholder", "output") else getattr(node.target, "__qualname__", str(node.target))
    return " ".join((node.op, target, _described(node.args, numbers), _described(node.kwargs, numbers)))


def _described(value: object, numbers: Mapping[Node, str]) -> str:
    if isinstance(value, Node):
        return numbers[value]
    if isinstance(value, tuple | list):
        return f"({', '.join(_described(entry, numbers) for entry in value)})"
    if isinstance(value, dict):
        return _described(sorted(value.items()), numbers)
    return repr(value)


def _own_attributes(layer: nn.Module) -> str:
    """What the `repr` of a layer may not show: attributes of a user's own classes, and hooks."""
    if type(layer).__name__ in STOCHASTIC_DEPTH:
        return ""
    return " ".join(f"{path} {_attributes(module)}" for path, module in layer.named_modules())


def _attributes(module: nn.Module) -> str:
    hooks = [id(hook) for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())]
    if type(module).__module__.startswith("torch."):
        return str(hooks or "")
    own = {key: value for key, value in vars(module).items() if key not in OF_EVERY_MODULE}
    return f"{hooks} {sorted((key, _identified(value)) for key, value in own.items())}"


def _identified(value: object) -> str:
    """A text that two values share only if they are the same: the value if it is plain, else the object's identity."""
    if isinstance(value, dict):
        return str([(_identified(key), _identified(entry)) for key, entry in value.items()])
    if isinstance(value, list | tuple | set | frozenset):
        return f"{type(value).__name__} {[_identified(entry) for entry in value]}"
    return repr(value) if value is None or isinstance(value, PLAIN) else f"{type(value).__name__} {id(value)}"


def _layer_text(layer: nn.Module) -> str:
    """Everything but values; blocks that differ in their rate of stochastic depth alone are built alike."""
    if type(layer).__name__ in STOCHASTIC_DEPTH:
        return type(layer).__name__
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in layer.named_parameters())
    return f"{type(layer).__module__}.{layer!r} {shapes}{_source(type(layer))}"


def is_of_library(defined: type | FunctionType) -> bool:
    """Whether a class or function is torch's or another library's, and not a user's."""
    return defined.__module__.partition(".")[0] in LIBRARIES


def _source(layer_class: type[nn.Module]) -> str:
    """The code of a user's own layer class: with other code its latency is another one."""
    if is_of_library(layer_class):
        return ""
    with suppress(OSError, TypeError):  # not in a file
        return f" {inspect.getsource(layer_class)}"
    return ""
