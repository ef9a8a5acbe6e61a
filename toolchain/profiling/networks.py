"""Whole networks that a profile times beside the variants, to calibrate the sum of the variants.

Uniformly drawn networks are similar: each mixes all choices, and their latencies differ by a few percent, so that
noise decides their order. These networks are stratified: some take one choice in every block that offers it, the
others draw their choices from a random distribution, from nearly one op or width only to an even mix.
"""

from collections.abc import Iterator
from functools import partial
from random import Random
from typing import TypeVar

from toolchain.costs.latency import network_key
from toolchain.measuring.space_precision import CONTAINER, file_precision
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.variants import Variant
from toolchain.spaces.core import Architecture, ChoiceBlock, SearchSpace

CONCENTRATION = 0.4  # of the Dirichlet distribution of the choices of a network; 1 is uniform over all mixes
UNIFORM_SHARE = 3  # at most one in this many networks takes a single choice throughout
TRIES = 50  # draws for each requested network; a small space may not have that many networks
Value = TypeVar("Value")


def networks(space: SearchSpace, count: int, seed: int) -> tuple[Variant, ...]:
    """`count` whole networks to time; fewer if the space is smaller."""
    return tuple(
        Variant(
            network_key(space, arch),
            space.input_shape,
            partial(Network, space, arch, STANDALONE),
            in_float=file_precision(space, arch, CONTAINER) != CONTAINER,
            whole=True,
        )
        for arch in stratified(space, count, seed)
    )


def stratified(space: SearchSpace, count: int, seed: int) -> tuple[Architecture, ...]:
    """`count` different architectures whose costs are spread over the range of the space; fewer if it is smaller."""
    count, rng = min(count, space.size), Random(seed)
    archs: dict[Architecture, None] = {}
    keys = _distinct_keys(space)
    rng.shuffle(keys)
    for key in keys[: max(1, count // UNIFORM_SHARE)]:
        archs.setdefault(_single_choice(space, key))
    for arch in _mixed(space, rng, count * TRIES):
        if len(archs) >= count:
            break
        archs.setdefault(arch)
    return tuple(archs)[:count]


def _distinct_keys(space: SearchSpace) -> list[str]:
    """The keys of the choices; of those that differ in their bits alone, which take the same time, the first."""
    keys: dict[tuple[str, float, bool], str] = {}
    for choice in (choice for block in space.blocks for choice in block.choices):
        keys.setdefault((choice.op, choice.width, choice.quantized), choice.key)
    return list(keys.values())


def _single_choice(space: SearchSpace, key: str) -> Architecture:
    """`key` in every block that offers it, and the first choice in the others (a block may not offer `skip`)."""
    return Architecture(
        space.name, tuple(key if key in block.by_key else block.choices[0].key for block in space.blocks)
    )


def _mixed(space: SearchSpace, rng: Random, tries: int) -> Iterator[Architecture]:
    for _ in range(tries):
        ops = _weights(rng, sorted({choice.op for block in space.blocks for choice in block.choices}))
        widths = _weights(rng, sorted({choice.width for block in space.blocks for choice in block.choices}))
        yield Architecture(space.name, tuple(_draw(block, ops, widths, rng) for block in space.blocks))


def _weights(rng: Random, values: list[Value]) -> dict[Value, float]:
    """A Dirichlet-distributed weight for each value; always above 0, since a block may offer no other value."""
    return {value: rng.gammavariate(CONCENTRATION, 1.0) + 1e-9 for value in values}


def _draw(block: ChoiceBlock, ops: dict[str, float], widths: dict[float, float], rng: Random) -> str:
    weights = [ops[choice.op] * widths[choice.width] for choice in block.choices]
    (choice,) = rng.choices(block.choices, weights)
    return choice.key
