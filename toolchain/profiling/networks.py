"""The whole networks that a profile times beside the parts, so that their sum can be calibrated.

Networks drawn uniformly are alike: each mixes all choices, and their latencies lie within a few percent, where noise
decides their order. These are stratified: some take one choice wherever it is offered, and the others draw their
choices by a mix of their own, from one op or one width nearly alone to all alike.
"""

from collections.abc import Iterator
from functools import partial
from random import Random
from typing import TypeVar

from toolchain.costs.latency import network_key
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.variants import Variant
from toolchain.spaces.core import Architecture, ChoiceBlock, SearchSpace

CONCENTRATION = 0.4  # of the Dirichlet distribution that a network's mix is drawn from; 1 would be uniform mixes
SHARE_OF_ONE_CHOICE = 3  # at most one in so many networks takes a single choice throughout
Value = TypeVar("Value")

TRIES = 50  # draws a wanted network; a small space has no more


def networks(space: SearchSpace, count: int, seed: int) -> tuple[Variant, ...]:
    """`count` whole networks as more things to time; fewer where the space has fewer."""
    return tuple(
        Variant(network_key(space, arch), space.input_shape, partial(Network, space, arch, STANDALONE))
        for arch in stratified(space, count, seed)
    )


def stratified(space: SearchSpace, count: int, seed: int) -> tuple[Architecture, ...]:
    """`count` different architectures whose costs are spread over the space's range; fewer where there are fewer."""
    wanted, rng = min(count, space.size), Random(seed)
    found: dict[Architecture, None] = {}
    keys = list(dict.fromkeys(choice.key for block in space.blocks for choice in block.choices))
    rng.shuffle(keys)
    for key in keys[: max(1, wanted // SHARE_OF_ONE_CHOICE)]:
        found.setdefault(_all_of(space, key))
    for arch in _mixed(space, rng, wanted * TRIES):
        if len(found) >= wanted:
            break
        found.setdefault(arch)
    return tuple(found)[:wanted]


def _all_of(space: SearchSpace, key: str) -> Architecture:
    """`key` in every block that offers it, elsewhere the block's first choice (a block may offer no `skip`)."""
    return Architecture(
        space.name, tuple(key if key in block.by_key else block.choices[0].key for block in space.blocks)
    )


def _mixed(space: SearchSpace, rng: Random, tries: int) -> Iterator[Architecture]:
    for _ in range(tries):
        ops = _mix(rng, sorted({choice.op for block in space.blocks for choice in block.choices}))
        widths = _mix(rng, sorted({choice.width for block in space.blocks for choice in block.choices}))
        yield Architecture(space.name, tuple(_draw(block, ops, widths, rng) for block in space.blocks))


def _mix(rng: Random, values: list[Value]) -> dict[Value, float]:
    """A share for each value, drawn from a Dirichlet distribution; never quite 0, as a block may offer no other."""
    return {value: rng.gammavariate(CONCENTRATION, 1.0) + 1e-9 for value in values}


def _draw(block: ChoiceBlock, ops: dict[str, float], widths: dict[float, float], rng: Random) -> str:
    weights = [ops[choice.op] * widths[choice.width] for choice in block.choices]
    (choice,) = rng.choices(block.choices, weights)
    return choice.key
