"""Candidates that share beginnings, as an evolved generation's do."""

from collections.abc import Callable
from random import Random

import pytest

from toolchain.spaces.core import Architecture, SearchSpace


@pytest.fixture(scope="session")
def evolved() -> Callable[[SearchSpace, int], list[Architecture]]:
    """`evolved(space, count)`: one parent's mutants, none of them twice, in no order."""

    def draw(space: SearchSpace, count: int) -> list[Architecture]:
        rng = Random(0)
        parent = space.draw(rng)
        drawn = {parent}
        while len(drawn) < count:
            blocks = zip(space.blocks, parent.choices, strict=True)
            keys = (rng.choice(block.choices).key if rng.random() < 0.3 else key for block, key in blocks)
            drawn.add(Architecture(space.name, tuple(keys)))
        return rng.sample(sorted(drawn, key=str), count)

    return draw
