"""The score of candidates: hold-out accuracy with inherited weights and recalibrated BN statistics.

Every candidate sees the same images in the same batches, so that scores differ by the architecture alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toolchain.nets.supernet import Supernet
from toolchain.search.batches import MOST_BYTES, Batches, shuffled
from toolchain.search.parallel_trie import ParallelTrie, open_threads
from toolchain.search.partial_scores import PartialScores, State
from toolchain.search.race import Race
from toolchain.search.scores import RaceThreshold, Score
from toolchain.spaces.core import Architecture
from toolchain.training.accuracy import Batch, recalibration_indices
from toolchain.training.data import Data

Advance = Callable[[int], None]


def unseen(_: int) -> None:
    """For callers that don't watch."""


@dataclass
class _Work:
    """The candidates of one call, and how far they are."""

    archs: Sequence[Architecture]
    forest: ParallelTrie
    reference: RaceThreshold | None
    right: Tensor  # bool (candidates, hold-out images), on the device
    advance: Advance
    batches: int  # to do, of both kinds
    recalibrated: int = 0
    scored: int = 0
    stopped: dict[int, int] = field(default_factory=dict)

    def tell(self) -> None:
        """A batch is done for all candidates, which is a part of each."""
        done = self.recalibrated + self.scored
        before, now = ((count * len(self.archs)) // self.batches for count in (done - 1, done))
        self.advance(now - before)

    def state(self) -> State:
        statistics = [tensor.cpu() for tensor in self.forest.statistics()]
        return State(self.recalibrated, self.scored, statistics, self.right.cpu(), self.stopped)


class Evaluator:
    """Scores architectures of one supernet (paper Eq. 6)."""

    def __init__(
        self,
        supernet: Supernet,
        data: Data,
        bn_images: int,
        batch: int,
        seed: int,
        workers: int = 0,
        threads: int = 1,
        race: Race | None = None,
        partial_scores: PartialScores | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Score on the whole hold-out, after recalibration on `bn_images` training images.

        Args:
            workers: processes that decode image files.
            threads: of the CPU, each on candidates of its own.
            race: stop candidates that have lost; the hold-out is then in drawn order.
            partial_scores: where a call that was killed goes on from.
            most_bytes: each of the two sets of images stays in memory, as uint8, if it is not larger.
        """
        self._supernet = supernet.eval()
        self._device = next(supernet.parameters()).device
        self._threads, self._parts = open_threads(threads, self._device), threads
        self._preprocessing = data.preprocessing
        self._race, self._under_way = race, partial_scores
        holdout = shuffled(data.holdout, seed) if race else data.holdout
        drawn = recalibration_indices(data, bn_images, batch, seed)
        self._recalibration = Batches(data.train, drawn, batch, workers, most_bytes)
        self._holdout = Batches(data.train, holdout, batch, workers, most_bytes)

    def __call__(self, arch: Architecture) -> float:
        """Top-1 accuracy of `arch` on the hold-out, 0 to 1."""
        return self.many([arch])[0].accuracy

    def many(
        self, archs: Sequence[Architecture], reference: RaceThreshold | None = None, advance: Advance = unseen
    ) -> list[Score]:
        """The score of each of `archs`, none of them twice: the same numbers as one by one, in less time.

        Args:
            reference: whom to race against; None looks at all images.
            advance: is told when work for some more candidates is done.

        Raises:
            BadData: an image can't be read.
        """
        if not archs:
            return []
        work = self._begin(archs, reference if self._race else None, advance)
        self._recalibrate(work)
        self._look_at_holdout(work)
        return [self._score(work, number) for number in range(len(archs))]

    def recalibration_inputs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches that candidates are recalibrated on, as network inputs and labels, on the device."""
        return self._inputs(self._recalibration.after(0))

    def holdout_inputs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches that candidates are scored on, as network inputs and labels, on the device."""
        return self._inputs(self._holdout.after(0))

    def _begin(self, archs: Sequence[Architecture], reference: RaceThreshold | None, advance: Advance) -> _Work:
        forest = ParallelTrie(self._supernet, archs, self._threads, self._parts)
        forest.begin()
        right = torch.zeros(len(archs), self._holdout.images, dtype=torch.bool, device=self._device)
        batches = len(self._recalibration) + len(self._holdout)
        work = _Work(archs, forest, reference, right, advance, batches)
        against = reference.accuracy if reference else None
        if self._under_way and (state := self._under_way.load(archs, against)):
            work.recalibrated, work.scored, work.stopped = state.recalibrated, state.scored, state.stopped
            forest.keep(set(range(len(archs))) - set(work.stopped))
            for mine, kept in zip(forest.statistics(), state.statistics, strict=True):
                mine.copy_(kept)
            right.copy_(state.right)
            advance((state.recalibrated + state.scored) * len(archs) // batches)
        return work

    def _recalibrate(self, work: _Work) -> None:
        """Give each layer the mean of the batches' statistics, as `training.recalibrate` does for one network."""
        for x, _ in self._inputs(self._recalibration.after(work.recalibrated)):
            for _ in work.forest.run(x):
                pass
            work.recalibrated += 1
            self._done(work)
        work.forest.end()

    def _look_at_holdout(self, work: _Work) -> None:
        seen = work.scored * self._holdout.batch
        looks = self._race.points(len(self._holdout)) if self._race else ()
        for x, labels in self._inputs(self._holdout.after(work.scored)):
            for number, logits in work.forest.run(x):
                work.right[number, seen : seen + len(labels)] = logits.argmax(1) == labels
            seen += len(labels)
            work.scored += 1
            if work.scored in looks and work.reference:
                self._stop_losers(work, seen)
            self._done(work)
            if len(work.stopped) == len(work.archs):
                break

    def _stop_losers(self, work: _Work, seen: int) -> None:
        assert self._race is not None
        assert work.reference is not None
        alive = [number for number in range(len(work.archs)) if number not in work.stopped]
        lost = self._race.losers(work.right[alive, :seen].cpu().numpy(), work.reference.right[:seen])
        work.stopped |= {alive[row]: seen for row in lost}
        work.forest.keep(set(alive) - set(work.stopped))

    def _done(self, work: _Work) -> None:
        work.tell()
        if self._under_way and self._under_way.due():
            against = work.reference.accuracy if work.reference else None
            self._under_way.keep(work.archs, against, work.state())

    def _score(self, work: _Work, number: int) -> Score:
        images = work.stopped.get(number)
        right = work.right[number, :images].cpu().numpy()
        return Score(int(right.sum()) / len(right), images, right if self._race and images is None else None)

    def _inputs(self, batches: Iterable[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        for pixels, labels in batches:
            yield self._preprocessing(pixels.to(self._device)), labels.to(self._device)
