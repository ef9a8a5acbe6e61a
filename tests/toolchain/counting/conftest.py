"""Small spaces whose costs are given as tables."""

from collections.abc import Callable, Sequence
from itertools import product

import pytest

from toolchain.costs.core import TableCost
from toolchain.spaces.core import Architecture, Choice, ChoiceBlock, Head, SearchSpace, Stem

Table = Sequence[Sequence[float]]  # a cost by block and choice


@pytest.fixture(scope="session")
def space_of() -> Callable[[Table], SearchSpace]:
    """A space with the blocks and choices (a, b, c, ...) of a table."""

    def make(table: Table) -> SearchSpace:
        blocks = tuple(
            ChoiceBlock(8, 8, 8, 1, tuple(Choice(chr(ord("a") + i)) for i, _ in enumerate(row))) for row in table
        )
        return SearchSpace("small", "shufflenet_v2", 1, 8, 10, Stem(8, 1), blocks, Head(8))

    return make


@pytest.fixture(scope="session")
def cost_of() -> Callable[..., TableCost]:
    """The cost with the values of a table."""

    def make(table: Table, name: str = "macs", unit: str = "MACs", fixed: float = 5) -> TableCost:
        rows = tuple({chr(ord("a") + i): value for i, value in enumerate(row)} for row in table)
        return TableCost(name, unit, fixed, rows)

    return make


@pytest.fixture(scope="session")
def all_of() -> Callable[[SearchSpace], list[Architecture]]:
    """Every architecture of a small space."""

    def list_all(space: SearchSpace) -> list[Architecture]:
        keys = ([choice.key for choice in block.choices] for block in space.blocks)
        return [Architecture(space.name, choices) for choices in product(*keys)]

    return list_all


@pytest.fixture(scope="session")
def chi_square() -> Callable[[Sequence[int]], float]:
    """The chi-square statistic of counts that should be equal: mean n - 1, variance 2 (n - 1)."""

    def statistic(counts: Sequence[int]) -> float:
        expected = sum(counts) / len(counts)
        return sum((count - expected) ** 2 / expected for count in counts)

    return statistic
