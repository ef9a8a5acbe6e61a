"""The architecture that a rival ends with, and the distribution that it is taken from."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, Literal

from pydantic import Field

from toolchain.files import Document, Share
from toolchain.spaces.core import Architecture, SearchSpace

Distribution = Sequence[Mapping[str, float]]  # of each block, the probabilities of its choices
TRIES = 100  # draws for each network


class LearnedArchitecture(Document):
    """The content of supernet/architecture.json; `nastool retrain --arch` takes the file.

    Args:
        architecture: the most probable choice of each block.
        probabilities: of all choices of each block.
        step: of the training.
    """

    schema_version: Literal[1] = 1
    strategy: str
    space: str
    space_digest: str
    architecture: tuple[str, ...]
    probabilities: tuple[dict[str, Share], ...]
    step: Annotated[int, Field(ge=0)]


def most_probable(space: SearchSpace, distribution: Distribution) -> Architecture:
    """The most probable choice of each block; of equal ones the first."""
    return Architecture(space.name, tuple(max(row, key=lambda key: row[key]) for row in distribution))


def learned_networks(space: SearchSpace, distribution: Distribution, count: int, seed: int) -> list[Architecture]:
    """The most probable architecture, and others drawn from the distribution (FBNet draws six), all different.

    Fewer than `count` where the distribution hardly has so many.
    """
    rng = Random(f"learned:{seed}")
    networks = {most_probable(space, distribution): None}
    for _ in range(TRIES * count):
        if len(networks) == count:
            break
        keys = tuple(rng.choices(list(row), list(row.values()))[0] for row in distribution)
        networks[Architecture(space.name, keys)] = None
    return list(networks)
