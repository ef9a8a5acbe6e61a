"""Labels of channels: every entry of a tensor has the label of the channel that it comes from.

Labels are tensors of int64 with the shape of the value that they describe, mostly expanded from one entry per channel.
Operations that move values (view, permute, chunk, cat, ...) are applied to the labels themselves. Label 0 stands for
a constant.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from toolchain.nets.model_space.shapes import Shape


class LabelSets:
    """Which labels must be kept or removed together (union-find), and which must be kept."""

    def __init__(self) -> None:
        self._parent: list[int] = [0]
        self._fixed: set[int] = set()

    def fresh(self, count: int) -> Tensor:
        """`count` new labels."""
        first = len(self._parent)
        self._parent += range(first, first + count)
        return torch.arange(first, first + count)

    def root(self, label: int) -> int:
        """The label that stands for all labels tied to `label`."""
        while self._parent[label] != label:
            self._parent[label] = label = self._parent[self._parent[label]]
        return label

    def roots(self, labels: Tensor) -> tuple[int, ...]:
        """The roots of a vector of labels."""
        return tuple(self.root(label) for label in labels.tolist())

    def tie(self, first: int, second: int) -> None:
        """Keep or remove two labels together."""
        a, b = self.root(first), self.root(second)
        if a == b or 0 in (a, b):
            return
        self._parent[max(a, b)] = min(a, b)
        if max(a, b) in self._fixed:
            self._fixed.add(min(a, b))

    def tie_all(self, labels: Iterable[int]) -> None:
        """Keep or remove all `labels` together."""
        first, *others = labels
        for other in others:
            self.tie(first, other)

    def fix(self, labels: Tensor) -> bool:
        """Keep all of `labels` at any width; whether one of them was not fixed before."""
        roots = {self.root(label) for label in unexpanded(labels).reshape(-1).tolist()} - {0}
        new = not all(map(self.is_fixed, roots))
        self._fixed |= roots
        return new

    def is_fixed(self, label: int) -> bool:
        return self.root(label) in self._fixed


def expand_along(vector: Tensor, shape: Shape, dim: int) -> Tensor:
    """Labels of `shape` that vary along `dim` only."""
    view = [1] * len(shape)
    view[dim] = len(vector)
    return vector.view(view).expand(shape)


def unexpanded(labels: Tensor) -> Tensor:
    """`labels` with size 1 in all dimensions that they were expanded along."""
    for dim, (size, stride) in enumerate(zip(labels.shape, labels.stride(), strict=True)):
        if stride == 0 and size > 1:
            labels = labels.narrow(dim, 0, 1)
    return labels


def varies(labels: Tensor, dim: int) -> bool:
    """Whether labels differ along `dim`."""
    rows = unexpanded(labels)
    return rows.shape[dim] > 1 and not bool((rows == rows.narrow(dim, 0, 1)).all())


def labels_along(labels: Tensor, dim: int) -> Tensor | None:
    """The label of each index along `dim`; None if labels vary along other dimensions too."""
    dim %= labels.dim()
    size = labels.shape[dim]
    rows = unexpanded(labels).movedim(dim, 0)
    rows = rows.reshape(rows.shape[0], -1)
    if rows.shape[1] > 1 and not bool((rows == rows[:, :1]).all()):
        return None
    return rows[:, 0].expand(size) if rows.shape[0] == 1 else rows[:, 0]


def broadcast(first: Tensor, second: Tensor) -> tuple[Tensor, list[tuple[int, int]]]:
    """The labels of an elementwise operation, and the pairs of labels that it ties.

    A dimension of size 1, such as a spatial attention map has, ties nothing along the other operand's channels.
    """
    shape = torch.broadcast_shapes(first.shape, second.shape)  # type: ignore[no-untyped-call]
    a, b = _aligned(first, len(shape)), _aligned(second, len(shape))
    if _is_broadcast(a, b):
        return b.expand(shape), []
    if _is_broadcast(b, a):
        return a.expand(shape), []
    narrow_a, narrow_b = torch.broadcast_tensors(unexpanded(a), unexpanded(b))  # type: ignore[no-untyped-call]
    pairs = set(zip(narrow_a.reshape(-1).tolist(), narrow_b.reshape(-1).tolist(), strict=True))
    merged = torch.where(narrow_a == 0, narrow_b, narrow_a)
    return merged.expand(shape), sorted((x, y) for x, y in pairs if x and y and x != y)


def _aligned(labels: Tensor, dims: int) -> Tensor:
    return labels.view([1] * (dims - labels.dim()) + list(labels.shape)) if labels.dim() < dims else labels


def _is_broadcast(small: Tensor, large: Tensor) -> bool:
    """Whether `small` has one entry along a dimension in which the labels of `large` vary."""
    entries = unexpanded(large)
    return any(small.shape[dim] == 1 and entries.shape[dim] > 1 for dim in range(large.dim()))
