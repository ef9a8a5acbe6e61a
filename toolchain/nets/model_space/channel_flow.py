"""Follow the channels of a part through its graph: which labels each layer reads and writes, and which are tied."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from toolchain.nets.model_space import operators as ops
from toolchain.nets.model_space.labels import LabelSets, broadcast, expand_along, labels_along, varies
from toolchain.nets.model_space.parts import TRAINING, Part
from toolchain.nets.model_space.shapes import BATCH, shape_of

NORMS = nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm | nn.PReLU

STATISTICS = ("running_mean", "running_var")
UNFIT = (RuntimeError, TypeError, ValueError, IndexError, AttributeError, AssertionError)  # of operators on labels

Axis = tuple[str, int]  # (parameter or buffer, dimension)


class Mismatch(Exception):
    """The labels of a narrower part differ from those of the whole one."""


class ChannelFlow:
    """One pass over a part's graph on labels.

    Attributes:
        axes: labels along each axis of a parameter or buffer that channels have.
        inputs: labels of the channels that each layer reads.
        outputs: labels of the output channels that each convolution or linear layer begins, by layer.
        result: labels of the part's output.
        unknown: operators without a rule whose channels keep their width.
    """

    def __init__(self, part: Part, sets: LabelSets, entry: Tensor, narrower: "Narrower | None" = None) -> None:
        self.part, self.sets, self._narrower = part, sets, narrower
        self.axes: dict[Axis, Tensor] = {}
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self.unknown: dict[str, None] = {}
        self.values: dict[Node, Any] = {}
        for node in part.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = expand_along(entry, (BATCH, *part.input_shape), 1)
            elif node.op == "output":
                self.result: Tensor = self.values[node.args[0]]
            else:
                try:
                    self.values[node] = self._result(node)
                except UNFIT as problem:
                    raise Mismatch(f"the operator {ops.operator_name(node.target)} fails: {problem}") from None

    def _result(self, node: Node) -> Any:
        if node.op == "get_attr":
            return False if node.target == TRAINING else self._parameter(node)
        args = torch.fx.node.map_arg(node.args, self.values.__getitem__)
        kwargs = torch.fx.node.map_arg(node.kwargs, self.values.__getitem__)
        inputs = [self.values[source] for source in node.all_input_nodes]
        labels = [value for value in inputs if isinstance(value, Tensor)]
        nested = [entry for value in inputs if isinstance(value, tuple | list) for entry in value]
        labels += [entry for entry in nested if isinstance(entry, Tensor)]
        if node.op == "call_module":
            return self._layer(node, labels)
        if not labels or ops.reads_numbers(node):
            value = _call(node, args, kwargs)  # a number, or the shape of a tensor
            return torch.zeros(value.shape, dtype=torch.int64) if isinstance(value, Tensor) else value
        return self._operator(node, labels, args, kwargs)

    def _operator(self, node: Node, labels: list[Tensor], args: Any, kwargs: Any) -> Any:
        name = ops.operator_name(node.target)
        if name in ops.ELEMENTWISE and len(labels) == 1:
            return labels[0]
        if name in ops.PAIRWISE and len(labels) <= 2:
            return labels[0] if len(labels) == 1 else self._tied(*labels)
        if name in ops.SPATIAL and len(labels) == 1:
            return self._on_maps(node, labels[0])
        if name in ops.REDUCTIONS and len(labels) == 1:
            reduced = self._reduced(args, kwargs)
            return self._keep(node, labels) if reduced is None else reduced
        if name in ops.MOVES:
            return _call(node, args, kwargs)
        return self._keep(node, labels)

    def _tied(self, first: Tensor, second: Tensor) -> Tensor:
        labels, pairs = broadcast(first, second)
        self._tie(pairs)
        return labels

    def _tie(self, pairs: list[tuple[int, int]]) -> None:
        for a, b in pairs:
            if self._narrower is None:
                self.sets.tie(a, b)
            elif self.sets.root(a) != self.sets.root(b):
                raise Mismatch("channels that are not tied in the whole block meet")

    def _on_maps(self, node: Node, labels: Tensor) -> Any:
        """Pooling, padding and resizing of maps (N, C, H, W) or (N, C, L)."""
        vector, whole, before = labels_along(labels, 1), shape_of(node), shape_of(node.all_input_nodes[0])
        if vector is None or whole is None or before is None or whole[1] != before[1]:
            return self._keep(node, [labels])
        return expand_along(vector, (whole[0], len(vector), *whole[2:]), 1)

    def _reduced(self, args: Any, kwargs: Any) -> Tensor | None:
        """The labels after a reduction over dimensions along which they do not vary; None if they do."""
        labels, *rest = args
        dims = kwargs.get("dim", rest[0] if rest else None)
        keep = kwargs.get("keepdim", rest[1] if len(rest) > 1 else False)
        if dims is None:
            return None
        dims = sorted({dim % labels.dim() for dim in ([dims] if isinstance(dims, int) else dims)}, reverse=True)
        if any(varies(labels, dim) for dim in dims):
            return None
        for dim in dims:
            labels = labels.narrow(dim, 0, 1) if keep else labels.select(dim, 0)
        assert isinstance(labels, Tensor)
        return labels

    def _parameter(self, node: Node) -> Any:
        """Labels of a parameter that the forward function reads: new ones along its only dimension above 1."""
        name = str(node.target)
        shape = tuple(self.part.parameters[name].shape)
        dims = [dim for dim, size in enumerate(shape) if size > 1]
        if not dims:
            return torch.zeros(shape, dtype=torch.int64)
        if len(dims) > 1:
            if self._narrower is not None:
                return self._narrower.values[node]
            labels = self.sets.fresh(self.part.parameters[name].numel()).view(shape)
            self.sets.fix(labels)
            return labels
        (dim,) = dims
        vector = self._begin(name, shape[dim])
        self.axes[name, dim] = vector
        return expand_along(vector, (*shape[:dim], len(vector), *shape[dim + 1 :]), dim)

    def _begin(self, name: str, count: int) -> Tensor:
        """The labels of the output channels of the layer `name`: new ones, or those that a narrower part keeps."""
        vector = self.sets.fresh(count) if self._narrower is None else self._narrower.outputs[name]
        self.outputs[name] = vector
        return vector

    def _keep(self, node: Node, labels: list[Tensor]) -> Any:
        """An operator without a rule: all channels that it reads keep their width, and so do those that it writes."""
        if self._narrower is not None:
            return self._narrower.values[node]
        what = node.target if node.op != "call_module" else type(self.part.layers[str(node.target)]).__name__
        new = [self.sets.fix(label) for label in labels]
        if any(new):
            self.unknown[ops.operator_name(what)] = None
        shape = shape_of(node)
        if shape is None:
            raise Mismatch(f"the operator {ops.operator_name(what)} does not give a tensor")
        fixed = self.sets.fresh(1)
        self.sets.fix(fixed)
        return fixed.view([1] * len(shape)).expand(shape)

    def _layer(self, node: Node, labels: list[Tensor]) -> Any:
        name = str(node.target)
        layer = self.part.layers[name]
        if len(labels) != 1 or shape_of(node) is None or _has_other_values(layer):
            return self._keep(node, labels)
        if ops.is_elementwise(layer):
            return labels[0]
        if isinstance(layer, ops.SPATIAL_LAYERS):
            return self._on_maps(node, labels[0])
        if isinstance(layer, ops.MOVE_LAYERS):
            return layer(labels[0])
        if isinstance(layer, nn.Conv2d):
            return self._convolution(node, name, layer, labels[0])
        if isinstance(layer, nn.Linear):
            return self._linear(node, name, layer, labels[0])
        if isinstance(layer, NORMS):
            return self._norm(node, name, layer, labels[0])
        return self._keep(node, labels)

    def _convolution(self, node: Node, name: str, layer: nn.Conv2d, labels: Tensor) -> Any:
        vector, shape = labels_along(labels, 1), shape_of(node)
        assert shape is not None
        if vector is None:
            return self._keep(node, [labels])
        self.inputs[name] = vector
        out = self._begin(name, layer.out_channels)
        if layer.groups == 1:
            self.axes[f"{name}.weight", 1] = vector
        elif self._narrower is None:
            for reads, writes in zip(vector.chunk(layer.groups), out.chunk(layer.groups), strict=True):
                self.sets.tie_all([*reads.tolist(), *writes.tolist()])
        self._write(name, layer, out)
        return expand_along(out, (shape[0], len(out), *shape[2:]), 1)

    def _linear(self, node: Node, name: str, layer: nn.Linear, labels: Tensor) -> Any:
        vector = labels_along(labels, -1)
        if vector is None:
            return self._keep(node, [labels])
        self.inputs[name] = vector
        out = self._begin(name, layer.out_features)
        self.axes[f"{name}.weight", 1] = vector
        self._write(name, layer, out)
        return expand_along(out, (*labels.shape[:-1], len(out)), -1)

    def _norm(self, node: Node, name: str, layer: nn.Module, labels: Tensor) -> Any:
        """Normalization and PReLU: parameters of each channel, which stay tied to it."""
        dim = _channel_dim(layer, labels.dim())
        vector = None if dim is None else labels_along(labels, dim)
        without_size = getattr(layer, "weight", None) is None and not isinstance(layer, nn.BatchNorm2d)
        if vector is None or without_size:
            return self._keep(node, [labels])
        if isinstance(layer, nn.GroupNorm) and layer.num_groups > 1 and self._narrower is None:
            for group in vector.chunk(layer.num_groups):
                self.sets.tie_all(group.tolist())
        self._write(name, layer, vector)
        return labels

    def _write(self, name: str, layer: nn.Module, vector: Tensor) -> None:
        """Record that the first dimension of the layer's parameters and statistics has these labels."""
        for leaf in ("weight", "bias", *STATISTICS):
            value = getattr(layer, leaf, None)
            statistic = isinstance(layer, nn.BatchNorm2d) and leaf.startswith("running")
            if statistic or (isinstance(value, Tensor) and value.numel() > 1):
                self.axes[f"{name}.{leaf}", 0] = vector


class Narrower:
    """What a narrower part takes over from the pass over the whole one: output labels that stay, and fixed values."""

    def __init__(self, whole: ChannelFlow, removed: frozenset[int]) -> None:
        """`removed` are the roots of the labels that do not stay."""
        self.values: Mapping[Node, Any] = whole.values
        self.outputs = {name: remaining(vector, whole.sets, removed) for name, vector in whole.outputs.items()}


def remaining(vector: Tensor, sets: LabelSets, removed: Collection[int]) -> Tensor:
    """The labels of `vector` that stay."""
    return vector[torch.tensor([root not in removed for root in sets.roots(vector)], dtype=torch.bool)]


def _call(node: Node, args: Any, kwargs: Any) -> Any:
    """What the function or method of `node` gives."""
    if node.op == "call_method":
        name = "reshape" if node.target == "view" else str(node.target)  # labels are expanded, and have no memory
        return getattr(args[0], name)(*args[1:], **kwargs)
    assert callable(node.target)
    return node.target(*args, **kwargs)


def _has_other_values(layer: nn.Module) -> bool:
    """Whether a layer has parameters or buffers for which there is no rule, such as those of a layer inside it."""
    statistics = STATISTICS if isinstance(layer, nn.BatchNorm2d) else ()
    names = [name for name, value in (*layer.named_parameters(), *layer.named_buffers()) if value.numel() > 1]
    return any(name not in ("weight", "bias", *statistics) for name in names)


def _channel_dim(layer: nn.Module, dims: int) -> int | None:
    """The dimension that a normalization or PReLU has parameters for; None if it normalizes several dimensions.

    LayerNorm normalizes the last dimension. Its subclasses for maps (torchvision's and timm's LayerNorm2d) have the
    channels in dimension 1.
    """
    if not isinstance(layer, nn.LayerNorm):
        return 1
    if len(layer.normalized_shape) > 1:
        return None
    return 1 if type(layer) is not nn.LayerNorm and dims == 4 else -1
