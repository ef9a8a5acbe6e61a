"""What to score next. Evolution (the paper's Algorithm 1) and random search, behind one interface.

A proposal depends on the generation's random numbers and on the scores so far, and on nothing else: replaying
the scores from a journal replays the search.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from toolchain.counting.feasible import FeasibleSet
from toolchain.spaces.core import Architecture

TRIES = 100  # draws a wanted candidate before a source of candidates counts as exhausted


@dataclass(frozen=True)
class Scored:
    """An architecture with its hold-out accuracy, 0 to 1, and how it came up.

    One that a race stopped has seen a part of the hold-out, and is not `complete`.
    """

    architecture: Architecture
    accuracy: float
    generation: int
    origin: str
    complete: bool = True


@dataclass(frozen=True)
class Proposal:
    """A candidate to score: within the budget, and not proposed before in this search."""

    architecture: Architecture
    origin: str


class Strategy(Protocol):
    """Proposes the candidates of one generation."""

    @property
    def name(self) -> str:
        """What the search is called in journals and pictures."""

    def propose(self, scored: Sequence[Scored], rng: Random) -> list[Proposal]:
        """The next candidates, given all that were scored; fewer than a population where the space runs out."""


@dataclass(frozen=True)
class RandomSearch:
    """A population of new feasible architectures in every generation."""

    feasible: FeasibleSet
    population: int
    name: str = "random"

    def propose(self, scored: Sequence[Scored], rng: Random) -> list[Proposal]:
        batch = _Batch({s.architecture for s in scored}, self.feasible)
        batch.fill(self.population, "random", lambda: self.feasible.draw(rng))
        return batch.proposals


@dataclass(frozen=True)
class Evolution:
    """Algorithm 1: half a population by crossover and half by mutation of the best `top_k` so far.

    Limits are checked before a candidate is scored. Where crossover or mutation give nothing new, the
    generation is filled up with random feasible candidates.
    """

    feasible: FeasibleSet
    population: int
    top_k: int
    mutation: float
    name: str = "evolution"

    def propose(self, scored: Sequence[Scored], rng: Random) -> list[Proposal]:
        batch = _Batch({s.architecture for s in scored}, self.feasible)
        parents = [s.architecture for s in best_first(scored)[: self.top_k]]
        if parents:
            half = self.population // 2
            batch.fill(half, "crossover", lambda: self._cross(rng.choice(parents), rng.choice(parents), rng))
            batch.fill(self.population - half, "mutation", lambda: self._mutate(rng.choice(parents), rng))
        batch.fill(self.population - len(batch.proposals), "random", lambda: self.feasible.draw(rng))
        return batch.proposals

    def _cross(self, one: Architecture, other: Architecture, rng: Random) -> Architecture:
        """Each block's choice from either parent."""
        pairs = zip(one.choices, other.choices, strict=True)
        return Architecture(one.space, tuple(rng.choice(pair) for pair in pairs))

    def _mutate(self, parent: Architecture, rng: Random) -> Architecture:
        """Each block's choice drawn anew with probability `mutation`."""
        return Architecture(
            parent.space,
            tuple(
                rng.choice(block.choices).key if rng.random() < self.mutation else key
                for block, key in zip(self.feasible.space.blocks, parent.choices, strict=True)
            ),
        )


def best_first(scored: Sequence[Scored]) -> list[Scored]:
    """By accuracy, of equals the one scored first; those that a race stopped come after all others."""
    return sorted(scored, key=lambda s: (not s.complete, -s.accuracy))


def complete(scored: Sequence[Scored]) -> tuple[Scored, ...]:
    """Without those that a race stopped: only a score on the whole hold-out makes a winner."""
    return tuple(candidate for candidate in scored if candidate.complete)


class _Batch:
    """Collects candidates that are new and within the budget, as all that were seen are."""

    def __init__(self, seen: set[Architecture], feasible: FeasibleSet) -> None:
        self.proposals: list[Proposal] = []
        self._seen = seen
        self._allows = feasible.budget.allows
        self._left = feasible.most_count - len(seen)

    def fill(self, wanted: int, origin: str, draw: Callable[[], Architecture]) -> None:
        """Add `wanted` candidates from `draw`, or as many as are left or a bounded number of draws gives."""
        most = min(len(self.proposals) + wanted, self._left)
        for _ in range(wanted * TRIES):
            if len(self.proposals) >= most:
                return
            arch = draw()
            if arch not in self._seen and self._allows(arch):
                self._seen.add(arch)
                self.proposals.append(Proposal(arch, origin))
