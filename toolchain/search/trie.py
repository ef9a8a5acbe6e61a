"""Many candidates at once: what their paths share from the stem on is computed once.

The output of block i and its batch statistics depend only on the first i choices. So candidates form a prefix trie over
their choices, and each batch of images passes through it depth-first. Every layer receives the same tensors as if each
candidate ran alone, so the scores are exact (docs/decisions/0021-prefix-trie-evaluation.md).

On a CPU, the candidates are divided into one trie for each thread: layers on small images are too short to be split
between threads (docs/decisions/0031-one-candidate-per-thread.md). Scores do not depend on the number of threads.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from toolchain.nets.supernet import SharedBlock, Supernet, replicate
from toolchain.spaces.core import Architecture
from toolchain.training.recalibrate import forget_statistics


@dataclass
class Node:
    """A prefix, by its last block: own BN statistics, weights shared with the supernet."""

    module: nn.Module
    children: dict[str, "Node"] = field(default_factory=dict)
    leaf: int | None = None  # the number of the candidate, if this is its head

    def walk(self) -> Iterator["Node"]:
        """This node and all nodes below it, parents first, in a fixed order."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children.values()))


class Trie:
    """Architectures of one supernet that are recalibrated and scored together.

    Memory use is low: weights belong to the supernet, a node holds the statistics of one block, and a batch keeps one
    activation for each level of the trie.
    """

    def __init__(self, supernet: Supernet, archs: Mapping[int, Architecture]) -> None:
        """Build the trie of different architectures, by number."""
        self._supernet = supernet
        self._device = next(supernet.parameters()).device
        # The modules of a user's space may change their input in place, but the node's other children need it too.
        self._spare_inputs = supernet.space.builder is not None
        self._plain: dict[tuple[int, str], nn.Module] = {}
        self.root = Node(replicate(supernet.stem))
        for number, arch in sorted(archs.items(), key=lambda item: item[1].choices):
            self._add(number, arch)

    @torch.no_grad()
    def run(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Network inputs (N, C, S, S) -> the number of each candidate and its logits (N, classes), depth-first."""
        pending = [(self.root, x, True)]  # tries in other threads read the same images
        while pending:
            node, x, needed = pending.pop()
            y: Tensor = node.module(x.clone() if needed and self._spare_inputs else x)
            del x  # free it while the nodes below are computed; the last child holds its own reference
            if node.leaf is not None:
                yield node.leaf, y
            for number, child in enumerate(reversed(node.children.values())):
                pending.append((child, y, number > 0))  # the first one pushed runs last
            del y

    def begin(self) -> None:
        """Reset all BN statistics; the batches that follow are averaged into new ones (`training.recalibrate`)."""
        for node in self.root.walk():
            forget_statistics(node.module, self._device)

    def end(self) -> None:
        """Switch to evaluation: batches are normalized by the collected statistics."""
        for node in self.root.walk():
            node.module.eval()

    def keep(self, leaves: Collection[int]) -> None:
        """Drop all candidates but `leaves`, and the nodes that only they need."""
        _prune(self.root, frozenset(leaves))

    def statistics(self) -> list[Tensor]:
        """All BN statistics; their order depends only on the architectures."""
        return [buffer for node in self.root.walk() for buffer in node.module.buffers()]

    def _add(self, number: int, arch: Architecture) -> None:
        node = self.root
        for position, key in enumerate(arch.choices):
            if key not in node.children:
                node.children[key] = Node(replicate(self._block(position, key)))
            node = node.children[key]
        if "head" in node.children:
            raise ValueError(f"{arch} is given twice")
        node.children["head"] = Node(replicate(self._supernet.head), leaf=number)

    def _block(self, position: int, key: str) -> nn.Module:
        if (position, key) not in self._plain:
            shared = self._supernet.blocks[position]
            assert isinstance(shared, SharedBlock)
            self._plain[position, key] = shared.choice_module(key)
        return self._plain[position, key]


def _prune(node: Node, leaves: frozenset[int]) -> bool:
    """Whether `node` has any of `leaves`."""
    node.children = {key: child for key, child in node.children.items() if _prune(child, leaves)}
    return bool(node.children) if node.leaf is None else node.leaf in leaves


class ParallelTrie:
    """The interface of `Trie`, for architectures of one supernet."""

    def __init__(
        self, supernet: Supernet, archs: Sequence[Architecture], executor: Executor | None, parts: int
    ) -> None:
        """Create `parts` tries that run in `executor`; without it, one trie that runs in the calling thread."""
        self._executor = executor
        numbers = [part for part in subtrees(archs, parts if executor else 1) if part]
        self._tries = [Trie(supernet, {number: archs[number] for number in part}) for part in numbers]

    def run(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Network inputs (N, C, S, S) -> the number of each candidate and its logits (N, classes)."""
        if self._executor is None:
            for trie in self._tries:
                yield from trie.run(x)
        else:
            for outputs in self._executor.map(_run_all, [partial(trie.run, x) for trie in self._tries]):
                yield from outputs

    def begin(self) -> None:
        """Reset all BN statistics; the batches that follow are averaged into new ones."""
        for trie in self._tries:
            trie.begin()

    def end(self) -> None:
        """Switch to evaluation: batches are normalized by the collected statistics."""
        for trie in self._tries:
            trie.end()

    def keep(self, leaves: Collection[int]) -> None:
        """Drop all candidates but `leaves`, and the nodes that only they need."""
        for trie in self._tries:
            trie.keep(leaves)
        self._tries = [trie for trie in self._tries if trie.root.children]

    def statistics(self) -> list[Tensor]:
        """All BN statistics; their order depends only on the architectures and the number of parts."""
        return [tensor for trie in self._tries for tensor in trie.statistics()]


def open_threads(count: int, device: torch.device) -> ThreadPoolExecutor | None:
    """A pool of threads that run one layer each at a time; None on a GPU, for which one thread is enough."""
    if device.type != "cpu":
        return None
    return ThreadPoolExecutor(count, "score", initializer=torch.set_num_threads, initargs=(1,))


def subtrees(archs: Sequence[Architecture], parts: int) -> list[list[int]]:
    """Divide architectures, by number, into `parts` of about as many blocks to compute; neighbors stay together."""
    divided: list[list[int]] = [[] for _ in range(parts)]
    if not archs:
        return divided
    order = sorted(range(len(archs)), key=lambda number: archs[number].choices)
    choices = [archs[number].choices for number in order]
    shared = [0, *(_common_prefix(*pair) for pair in pairwise(choices))]  # with the one before
    costs = [len(own) - same + 1 for own, same in zip(choices, shared, strict=True)]  # 1 is the head
    ends = list(accumulate(costs))
    for number, end, cost in zip(order, ends, costs, strict=True):
        middle = end - cost / 2
        divided[min(parts - 1, int(middle * parts / ends[-1]))].append(number)
    return divided


def _run_all(run: Callable[[], Iterator[tuple[int, Tensor]]]) -> list[tuple[int, Tensor]]:
    return list(run())


def _common_prefix(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """The number of blocks at the beginning that two architectures share."""
    for position, (a, b) in enumerate(zip(first, second, strict=True)):
        if a != b:
            return position
    return len(first)
