"""Search strategies: evolution (the paper's Algorithm 1) and random search, behind one interface.

Proposals depend only on the random numbers of the generation and on the scores so far, so replaying the scores from a
journal replays the search.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from toolchain.counting.feasible import FeasibleSet
from toolchain.spaces.core import Architecture

TRIES = 100  # draws for each candidate before a source of candidates counts as exhausted
EVOLUTION, RANDOM, LEARNED = "evolution", "random", "learned"


@dataclass(frozen=True)
class Scored:
    """An architecture with its inherited accuracy, 0 to 1, and where it came from.

    Args:
        origin: crossover, mutation or random.
        complete: False if a race stopped it, so that the accuracy covers only a part of the hold-out.
        strategy: the name of the strategy that proposed it.
        loss: mean cross-entropy on the hold-out, if candidates are ranked by it; otherwise None.
    """

    architecture: Architecture
    accuracy: float
    generation: int
    origin: str
    complete: bool = True
    strategy: str = EVOLUTION
    loss: float | None = None

    @property
    def score(self) -> float:
        """What candidates are ranked by, higher is better: the accuracy, or the negative loss."""
        return self.accuracy if self.loss is None else -self.loss

    @property
    def score_text(self) -> str:
        """The score for messages: `91.20%` or `loss 0.2871`."""
        return f"{self.accuracy:.2%}" if self.loss is None else f"loss {self.loss:.4f}"


@dataclass(frozen=True)
class Proposal:
    """A candidate to score: within the budget, and new in this search."""

    architecture: Architecture
    origin: str


class Strategy(Protocol):
    """Proposes the candidates of one generation."""

    @property
    def name(self) -> str:
        """The name in journals and pictures."""

    def propose(self, scored: Sequence[Scored], rng: Random) -> list[Proposal]:
        """The next candidates, given all scored ones; fewer than a population if the space is exhausted."""


@dataclass(frozen=True)
class RandomSearch:
    """A population of new feasible architectures in every generation."""

    feasible: FeasibleSet
    population: int
    name: str = RANDOM

    def propose(self, scored: Sequence[Scored], rng: Random) -> list[Proposal]:
        batch = _Batch({s.architecture for s in scored}, self.feasible)
        batch.fill(self.population, "random", lambda: self.feasible.draw(rng))
        return batch.proposals


@dataclass(frozen=True)
class GivenNetworks:
    """Networks that were chosen before: those of a rival's distribution, simple ones, the best of earlier searches."""

    networks: Sequence[Architecture]
    name: str

    def propose(self, scored: Sequence[Scored], rng: Random) -> list[Proposal]:
        return [Proposal(arch, self.name) for arch in self.networks]


@dataclass(frozen=True)
class Evolution:
    """Algorithm 1: half of a population by crossover and half by mutation of the best `top_k` candidates so far.

    Candidates over a limit are not proposed. If crossover or mutation yield nothing new, the generation is filled with
    random feasible candidates.
    """

    feasible: FeasibleSet
    population: int
    top_k: int
    mutation: float
    name: str = EVOLUTION

    def propose(self, scored: Sequence[Scored], rng: Random) -> list[Proposal]:
        batch = _Batch({s.architecture for s in scored}, self.feasible)
        parents = [s.architecture for s in best_first(scored)[: self.top_k]]
        if parents:
            half = self.population // 2
            batch.fill(half, "crossover", lambda: self._cross(rng.choice(parents), rng.choice(parents), rng))
            batch.fill(self.population - half, "mutation", lambda: self._mutate(rng.choice(parents), rng))
        batch.fill(self.population - len(batch.proposals), "random", lambda: self.feasible.draw(rng))
        return batch.proposals

    def _cross(self, mother: Architecture, father: Architecture, rng: Random) -> Architecture:
        """The choice of each block from either parent."""
        pairs = zip(mother.choices, father.choices, strict=True)
        return Architecture(mother.space, tuple(rng.choice(pair) for pair in pairs))

    def _mutate(self, parent: Architecture, rng: Random) -> Architecture:
        """The choice of each block, redrawn with probability `mutation`."""
        return Architecture(
            parent.space,
            tuple(
                rng.choice(block.choices).key if rng.random() < self.mutation else key
                for block, key in zip(self.feasible.space.blocks, parent.choices, strict=True)
            ),
        )


def best_first(scored: Sequence[Scored]) -> list[Scored]:
    """Sorted by score, equal ones by the order of scoring; those that a race stopped come last."""
    return sorted(scored, key=lambda s: (not s.complete, -s.score))


def complete(scored: Sequence[Scored]) -> tuple[Scored, ...]:
    """Without candidates that a race stopped: a winner has a score on the whole hold-out."""
    return tuple(candidate for candidate in scored if candidate.complete)


def unique(*groups: Sequence[Scored]) -> tuple[Scored, ...]:
    """All candidates, of equal architectures the first."""
    first: dict[Architecture, Scored] = {}
    for group in groups:
        for scored in group:
            first.setdefault(scored.architecture, scored)
    return tuple(first.values())


class _Batch:
    """Collects candidates that are new and within the budget."""

    def __init__(self, seen: set[Architecture], feasible: FeasibleSet) -> None:
        self.proposals: list[Proposal] = []
        self._seen = seen
        self._allows = feasible.budget.allows
        self._unseen = feasible.most_count - len(seen)

    def fill(self, count: int, origin: str, draw: Callable[[], Architecture]) -> None:
        """Add `count` candidates from `draw`, or as many as a bounded number of draws yields."""
        most = min(len(self.proposals) + count, self._unseen)
        for _ in range(count * TRIES):
            if len(self.proposals) >= most:
                return
            arch = draw()
            if arch not in self._seen and self._allows(arch):
                self._seen.add(arch)
                self.proposals.append(Proposal(arch, origin))
