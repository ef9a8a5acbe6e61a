"""The parts of a run as if the machine had been equally quick whenever one of them was timed.

On a shared machine the speed wanders: what is timed within a second is slow or quick together, and the least of a few
rounds depends on which of them fell on a quick moment. A round times all parts in random order, so the neighbours of a
part tell how quick the machine was just then (docs/decisions/0033-drift-correction.md).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TypeVar

from latency_db.table import Sample, counted_of, round_ms

NEAR = 3  # neighbours on either side that tell the speed
TURNS = 2  # of finding speeds from levels and levels from speeds; a third changes little

Timed = tuple[str, float]  # a part and its figure in ms
Taken = TypeVar("Taken")


def correct_drift(rounds: Sequence[Mapping[str, Sample]], threads: int) -> dict[str, float]:
    """The figure of each part in ms on a CPU, at the speed that the parts reach at their least.

    A part's level is the median over the rounds of its figures, each divided by how many times slower than their own
    levels its neighbours were. All levels are then shifted by one factor, the median of least to level: a figure
    tells what a part takes on a quiet machine, as the least of its rounds does.

    Args:
        rounds: the samples of each, by part.
        threads: of the runtime.

    Returns:
        nothing where too few parts were timed to tell a speed, or their order is not known.
    """
    timed = [_in_order(round_, threads) for round_ in _counted(rounds)]
    found = _by_part(timed)
    if len(found) <= 2 * NEAR or any(sample.place < 0 for round_ in rounds for sample in round_.values()):
        return {}
    levels = _levels(found)
    for _ in range(TURNS):
        levels = _levels(_by_part([_at_one_speed(round_, levels) for round_ in timed]))
    shift = median(min(found[key]) / levels[key] for key in levels)
    return {key: level * shift for key, level in levels.items()}


def _counted(rounds: Sequence[Mapping[str, Sample]]) -> list[dict[str, Sample]]:
    """The rounds without the samples that a figure does not stand on."""
    samples = _by_part(round_.items() for round_ in rounds)
    doubtful = {key for key, taken in samples.items() if any(sample.noise_reason for sample in counted_of(taken))}
    return [
        {key: sample for key, sample in round_.items() if not sample.noise_reason or key in doubtful}
        for round_ in rounds
    ]


def _in_order(round_: Mapping[str, Sample], threads: int) -> list[Timed]:
    return [(key, round_ms(round_[key], threads)) for key in sorted(round_, key=lambda key: round_[key].place)]


def _at_one_speed(round_: Sequence[Timed], levels: Mapping[str, float]) -> list[Timed]:
    """The figures of a round without the speed that their neighbours tell."""
    slower = [ms / levels[key] for key, ms in round_]
    even = []
    for place, (key, ms) in enumerate(round_):
        near = slower[max(0, place - NEAR) : place] + slower[place + 1 : place + 1 + NEAR]
        even.append((key, ms / median(near) if near else ms))
    return even


def _by_part(rounds: Iterable[Iterable[tuple[str, Taken]]]) -> dict[str, list[Taken]]:
    found: dict[str, list[Taken]] = defaultdict(list)
    for round_ in rounds:
        for key, taken in round_:
            found[key].append(taken)
    return found


def _levels(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {key: median(values) for key, values in found.items()}
