"""Successive halving: train all finalists once, drop the less accurate half, and train the others again.

Each round trains every remaining finalist with a new seed, the same for all of them, and judges by the mean of all its
trainings. It ends when the leader is separated from all others at 95 %, or the time or the number of rounds is spent.
The last `LAST` finalists stay to the end, so that the statement compares networks and not only survivors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from toolchain.search.finalists.comparison import Comparison, compare
from toolchain.search.scores import Flags

CONFIDENCE = 0.95
LAST = 2  # finalists that are never dropped
MAX_ROUNDS = 6

Network = TypeVar("Network")


@dataclass(frozen=True)
class Training:
    """The result of one training.

    Args:
        correct: (images,), whether each hold-out image was classified correctly.
        seconds: how long it took.
    """

    correct: Flags
    seconds: float


@dataclass(frozen=True)
class Standing(Generic[Network]):
    """A finalist with the trainings it had; `accuracy` is their mean on the hold-out, 0 to 1."""

    network: Network
    trainings: int
    accuracy: float


@dataclass(frozen=True)
class Result(Generic[Network]):
    """The end of a halving.

    Args:
        remaining: the finalists of the last round, the most accurate first.
        dropped: the others, those dropped last first.
        comparisons: the leader against each other remaining finalist, in their order.
        seconds: of all trainings together.
        out_of_time: the time limit ended it.
    """

    remaining: tuple[Standing[Network], ...]
    dropped: tuple[Standing[Network], ...]
    comparisons: tuple[Comparison, ...]
    seconds: float = 0.0
    out_of_time: bool = False

    @property
    def separated(self) -> bool:
        """Whether the leader is more accurate than every other remaining finalist at 95 %."""
        return all(comparison.separated(CONFIDENCE) for comparison in self.comparisons)

    @property
    def tied(self) -> tuple[Standing[Network], ...]:
        """The leader, and the remaining finalists that cannot be told apart from it."""
        leader, *others = self.remaining
        pairs = zip(others, self.comparisons, strict=True)
        return (leader, *(other for other, comparison in pairs if not comparison.separated(CONFIDENCE)))


def halve(
    networks: Sequence[Network],
    train: Callable[[Network, int], Training],
    time_limit_s: float,
    most_rounds: int = MAX_ROUNDS,
) -> Result[Network]:
    """Find the most accurate of `networks`.

    Args:
        train: trains a network with the seed of a round (0, 1, ...).
        time_limit_s: a round begins only if it is expected to end within this time of training; the first always does.
    """
    state = _State(list(networks), [])
    dropped: list[Standing[Network]] = []
    spent_s, count = 0.0, 0
    while True:
        trainings = [train(network, state.rounds) for network in state.networks]
        state.add([training.correct for training in trainings])
        spent_s += sum(training.seconds for training in trainings)
        count += len(trainings)
        result = Result(state.standings(), tuple(dropped), state.comparisons(), spent_s)
        if result.separated or state.rounds == most_rounds:
            return result
        state, out = state.halved()
        dropped = [*out, *dropped]
        if spent_s + spent_s / count * len(state.networks) > time_limit_s:
            return Result(state.standings(), tuple(dropped), state.comparisons(), spent_s, out_of_time=True)


@dataclass
class _State(Generic[Network]):
    """The remaining finalists in order of accuracy, with the flags of their trainings by round."""

    networks: list[Network]
    flags: list[list[Flags]]

    @property
    def rounds(self) -> int:
        return len(self.flags[0]) if self.flags else 0

    def add(self, correct: Sequence[Flags]) -> None:
        """Add one training of each finalist, and sort them."""
        earlier = self.flags or [[] for _ in self.networks]
        flags = [[*known, new] for known, new in zip(earlier, correct, strict=True)]
        order = sorted(range(len(flags)), key=lambda row: -float(np.mean(flags[row])))
        self.networks, self.flags = [self.networks[row] for row in order], [flags[row] for row in order]

    def standings(self) -> tuple[Standing[Network], ...]:
        return tuple(
            Standing(network, self.rounds, float(np.mean(flags)))
            for network, flags in zip(self.networks, self.flags, strict=True)
        )

    def comparisons(self) -> tuple[Comparison, ...]:
        correct = np.array(self.flags)
        return tuple(compare(correct, 0, other) for other in range(1, len(self.networks)))

    def halved(self) -> "tuple[_State[Network], tuple[Standing[Network], ...]]":
        """The more accurate half, at least `LAST`, and the standings of the others."""
        kept = max(LAST, (len(self.networks) + 1) // 2)
        return _State(self.networks[:kept], self.flags[:kept]), self.standings()[kept:]
