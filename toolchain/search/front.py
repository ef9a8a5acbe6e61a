"""The front of a search: the candidates that no other beats in accuracy at the same or lower cost."""

from collections.abc import Mapping, Sequence
from typing import Literal

from toolchain.costs.core import TableCost
from toolchain.files import Count, Document, Milliseconds, Share
from toolchain.search.strategies import Scored
from toolchain.search.winner import Winner


class FrontEntry(Document):
    """A candidate on the front, with the cost that the front is drawn over; the others are None."""

    architecture: tuple[str, ...]
    holdout_accuracy: Share
    macs: Count | None = None
    params: Count | None = None
    bitops: Count | None = None
    weight_bits: Count | None = None
    latency_ms: Milliseconds | None = None

    def as_json(self) -> dict[str, object]:
        """The fields that are known."""
        return self.model_dump(mode="json", exclude_none=True)


class Front(Document):
    """The content of front.json: the candidates that no other beats in accuracy at the same or lower cost."""

    schema_version: Literal[1] = 1
    cost: str
    convention: str
    front: tuple[FrontEntry, ...]
    winners: dict[str, Winner]


def front_of(costs: Sequence[float], accuracies: Sequence[float]) -> tuple[int, ...]:
    """Numbers of the candidates on the front, by cost; of equal ones the first."""
    front: list[int] = []
    for number in sorted(range(len(costs)), key=lambda number: (costs[number], -accuracies[number])):
        if not front or accuracies[number] > accuracies[front[-1]]:
            front.append(number)
    return tuple(front)


def find_front(cost: TableCost, scored: Sequence[Scored], winners: Mapping[str, Winner]) -> Front:
    """The candidates that no other beats in accuracy at the same or lower cost."""
    numbers = front_of(
        [cost.cost(candidate.architecture) for candidate in scored], [candidate.accuracy for candidate in scored]
    )
    entries = tuple(_entry(cost, scored[number]) for number in numbers)
    return Front(cost=cost.name, convention=cost.convention, front=entries, winners=dict(winners))


def _entry(cost: TableCost, candidate: Scored) -> FrontEntry:
    value = cost.cost(candidate.architecture)
    fields = {
        "architecture": candidate.architecture.choices,
        "holdout_accuracy": candidate.accuracy,
        cost.name: value if cost.unit == "ms" else int(value),
    }
    return FrontEntry.model_validate(fields)
