"""Candidates as several tries, which CPU threads run side by side.

Layers of small images are too short to share: threads that split each of them wait for each other most of the time
(docs/decisions/0031-one-candidate-per-thread.md). So a layer has one thread, and it is candidates that are shared out.
Scores don't depend on the number of threads.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import accumulate, pairwise, takewhile
from operator import eq

import torch
from torch import Tensor

from toolchain.nets.supernet import Supernet
from toolchain.search.trie import Trie
from toolchain.spaces.core import Architecture


class ParallelTrie:
    """Architectures of one supernet, to be recalibrated and scored together: the interface of `Trie`."""

    def __init__(self, supernet: Supernet, archs: Sequence[Architecture], threads: Executor | None, parts: int) -> None:
        """`parts` tries that `threads` run; without threads, one that the caller's runs."""
        self._threads = threads
        found = subtrees(archs, parts if threads else 1)
        self._tries = [Trie(supernet, {number: archs[number] for number in part}) for part in found if part]

    def run(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Network inputs (N, C, S, S) -> the number of each candidate with its logits (N, classes)."""
        if self._threads is None:
            for trie in self._tries:
                yield from trie.run(x)
        else:
            for found in self._threads.map(_run_on, [partial(trie.run, x) for trie in self._tries]):
                yield from found

    def begin(self) -> None:
        """Forget all statistics; batches that are run from now on give new ones."""
        for trie in self._tries:
            trie.begin()

    def end(self) -> None:
        """From now on, batches are normalized by the statistics that were gathered."""
        for trie in self._tries:
            trie.end()

    def keep(self, leaves: Collection[int]) -> None:
        """Drop all other candidates, with what only they need."""
        for trie in self._tries:
            trie.keep(leaves)
        self._tries = [trie for trie in self._tries if trie.root.children]

    def statistics(self) -> list[Tensor]:
        """All BN statistics, in an order that depends on the architectures and the number of parts alone."""
        return [tensor for trie in self._tries for tensor in trie.statistics()]


def open_threads(count: int, device: torch.device) -> ThreadPoolExecutor | None:
    """Threads that run one layer each at a time; None on a GPU, which one thread keeps busy."""
    if device.type != "cpu":
        return None
    return ThreadPoolExecutor(count, "score", initializer=torch.set_num_threads, initargs=(1,))


def subtrees(archs: Sequence[Architecture], parts: int) -> list[list[int]]:
    """Numbers of architectures in `parts` parts of about as many blocks to compute, neighbours in the trie together."""
    if not archs:
        return [[] for _ in range(parts)]
    order = sorted(range(len(archs)), key=lambda number: archs[number].choices)
    choices = [archs[number].choices for number in order]
    shared = [0, *(_common(*pair) for pair in pairwise(choices))]  # with the one before
    costs = [len(own) - same + 1 for own, same in zip(choices, shared, strict=True)]  # 1 is the head
    ends = list(accumulate(costs))
    found: list[list[int]] = [[] for _ in range(parts)]
    for number, end, cost in zip(order, ends, costs, strict=True):
        found[min(parts - 1, int((end - cost / 2) * parts / ends[-1]))].append(number)
    return found


def _run_on(run: Callable[[], Iterator[tuple[int, Tensor]]]) -> list[tuple[int, Tensor]]:
    return list(run())


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many blocks two architectures have in common from the first on."""
    return sum(1 for _ in takewhile(bool, map(eq, one, other)))
