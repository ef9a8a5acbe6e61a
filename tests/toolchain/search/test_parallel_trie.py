"""Candidates shared out among threads."""

from collections.abc import Callable

from toolchain.search.trie import subtrees
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace


def test_parts_are_neighbours_and_cost_about_the_same(
    evolved: Callable[[SearchSpace, int], list[Architecture]],
) -> None:
    archs = evolved(load_space("shufflenet_v2_quick"), 40)
    for parts in (1, 2, 3, 7):
        shares = subtrees(archs, parts)
        assert sorted(number for part in shares for number in part) == list(range(40))
        in_order = [archs[number].choices for part in shares for number in part]
        assert in_order == sorted(in_order)
        blocks = [
            len({arch.choices[:depth] for arch in map(archs.__getitem__, part) for depth in range(1, 9)})
            for part in shares
        ]
        assert max(blocks) < 1.5 * min(blocks)


def test_more_parts_than_candidates_leaves_some_empty(tiny_space: SearchSpace) -> None:
    arch = tiny_space.all_same("choice_3")
    assert sorted(map(len, subtrees([arch], 3))) == [0, 0, 1]
    assert subtrees([], 2) == [[], []]
