"""Many candidates at once: what their paths have in common from the stem on is computed once.

What a candidate computes up to block i, its batch statistics included, depends on its first i choices alone. So
candidates form a trie over their choices, and each batch of images goes through it depth-first. Every layer sees
the tensors that it would see if each candidate were run by itself, so nothing is approximated
(docs/decisions/0021-prefix-trie-evaluation.md).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from toolchain.nets.supernet import SharedBlock, Supernet, twin
from toolchain.spaces.core import Architecture
from toolchain.training.recalibrate import forget_statistics


@dataclass
class Node:
    """The end of a prefix: its last block, with BN statistics of its own and weights of the supernet."""

    module: nn.Module
    children: dict[str, "Node"] = field(default_factory=dict)
    leaf: int | None = None  # the number of the candidate whose head this is

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, parents first, always in the same order."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children.values()))


class Trie:
    """Architectures of one supernet, to be recalibrated and scored together.

    It takes little memory: weights are the supernet's own, a node holds the statistics of one block, and while a
    batch is on its way, one activation is kept for each level of the trie.
    """

    def __init__(self, supernet: Supernet, archs: Mapping[int, Architecture]) -> None:
        """Architectures by the numbers that they are called by, none of them twice."""
        self._supernet = supernet
        self._device = next(supernet.parameters()).device
        # A space's own modules may change their input in place, which other children of the node need as it is.
        self._spare_inputs = supernet.space.builder is not None
        self._plain: dict[tuple[int, str], nn.Module] = {}
        self.root = Node(twin(supernet.stem))
        for number, arch in sorted(archs.items(), key=lambda item: item[1].choices):
            self._add(number, arch)

    @property
    def blocks(self) -> int:
        """Block passes that a batch takes; one by one it would be candidates times blocks."""
        return sum(1 for node in self.root.walk() if node is not self.root and node.leaf is None)

    @torch.no_grad()
    def run(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Network inputs (N, C, S, S) -> the number of each candidate with its logits (N, classes), depth-first."""
        pending = [(self.root, x, False)]
        while pending:
            node, x, needed = pending.pop()
            y: Tensor = node.module(x.clone() if needed and self._spare_inputs else x)
            del x  # the last child has it: it need not live while what is below is computed
            if node.leaf is not None:
                yield node.leaf, y
            for number, child in enumerate(reversed(node.children.values())):
                pending.append((child, y, number > 0))  # the one at the bottom is run last
            del y

    def begin(self) -> None:
        """Forget all statistics; batches that are run from now on give new ones (`training.recalibrate`)."""
        for node in self.root.walk():
            forget_statistics(node.module, self._device)

    def end(self) -> None:
        """From now on, batches are normalized by the statistics that were gathered."""
        for node in self.root.walk():
            node.module.eval()

    def keep(self, leaves: Collection[int]) -> None:
        """Drop all other candidates, with what only they need."""
        _prune(self.root, frozenset(leaves))

    def statistics(self) -> list[Tensor]:
        """All BN statistics, in an order that depends on the architectures alone."""
        return [buffer for node in self.root.walk() for buffer in node.module.buffers()]

    def _add(self, number: int, arch: Architecture) -> None:
        node = self.root
        for position, key in enumerate(arch.choices):
            if key not in node.children:
                node.children[key] = Node(twin(self._block(position, key)))
            node = node.children[key]
        if "head" in node.children:
            raise ValueError(f"{arch} is there twice")
        node.children["head"] = Node(twin(self._supernet.head), leaf=number)

    def _block(self, position: int, key: str) -> nn.Module:
        if (position, key) not in self._plain:
            shared = self._supernet.blocks[position]
            assert isinstance(shared, SharedBlock)
            self._plain[position, key] = shared.plain(key)
        return self._plain[position, key]


def _prune(node: Node, leaves: frozenset[int]) -> bool:
    """Whether anything is left of `node`."""
    node.children = {key: child for key, child in node.children.items() if _prune(child, leaves)}
    return bool(node.children) if node.leaf is None else node.leaf in leaves
