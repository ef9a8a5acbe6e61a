"""The score of a candidate: hold-out accuracy with inherited weights and recalibrated BN statistics (paper Eq. 6).

The mean cross-entropy on the same images is computed as well; it has no ties, and its noise is lower than the binomial
noise of the accuracy.
All candidates see the same images in the same batches, so scores differ only by the architecture.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from toolchain.nets.supernet import Supernet
from toolchain.search.batches import MAX_BYTES, Batches, shuffled
from toolchain.search.partial_scores import PartialScores, PartialState
from toolchain.search.race import Race
from toolchain.search.scores import RaceThreshold, Score
from toolchain.search.trie import ParallelTrie, open_threads
from toolchain.spaces.core import Architecture
from toolchain.training.accuracy import recalibration_indices
from toolchain.training.batches import Batch
from toolchain.training.data import Data

Advance = Callable[[int], None]

MAX_LOSS = 1e6  # in place of a loss that is not finite, so that the candidate comes last


def ignore_progress(_: int) -> None:
    """An `Advance` that does nothing."""


@dataclass(frozen=True)
class ScoringSettings:
    """How candidates are scored; scores depend on the first three fields.

    Args:
        bn_images: training images for recalibration.
        batch: images in a batch.
        seed: draws the images for recalibration, and the order of the hold-out in a race.
        workers: processes that decode image files.
        threads: CPU threads, each of which scores a part of the candidates.
        most_bytes: a set of images is kept in memory, as uint8, if it is not larger.
    """

    bn_images: int
    batch: int
    seed: int
    workers: int = 0
    threads: int = 1
    most_bytes: int = MAX_BYTES


@dataclass
class _Work:
    """The candidates of one call and the progress on them."""

    archs: Sequence[Architecture]
    trie: ParallelTrie
    threshold: RaceThreshold | None
    correct: Tensor  # bool (candidates, hold-out images), on the device
    losses: Tensor  # float64 (candidates,), sums of the cross-entropy, on the device
    advance: Advance
    batches: int  # in total, for recalibration and hold-out
    recalibrated: int = 0
    scored: int = 0
    stopped: dict[int, int] = field(default_factory=dict)

    @property
    def against(self) -> float | None:
        return self.threshold.accuracy if self.threshold else None

    def report(self) -> None:
        """Report one more batch of all candidates, as a number of candidates."""
        done = self.recalibrated + self.scored
        before, now = ((count * len(self.archs)) // self.batches for count in (done - 1, done))
        self.advance(now - before)

    def state(self) -> PartialState:
        statistics = [tensor.cpu() for tensor in self.trie.statistics()]
        return PartialState(
            self.recalibrated, self.scored, statistics, self.correct.cpu(), self.losses.cpu(), self.stopped
        )

    def restore(self, state: PartialState) -> bool:
        """Continue from `state`; False if it has other shapes, and then this work must not be used."""
        numbers = range(len(self.archs))
        if not state.stopped.keys() <= set(numbers) or state.recalibrated + state.scored > self.batches:
            return False
        self.trie.keep(set(numbers) - set(state.stopped))
        statistics = self.trie.statistics()
        if not state.fits(statistics, self.correct, self.losses):
            return False
        for tensor, saved in zip(statistics, state.statistics, strict=True):
            tensor.copy_(saved)
        self.correct.copy_(state.correct)
        self.losses.copy_(state.losses)
        self.recalibrated, self.scored, self.stopped = state.recalibrated, state.scored, dict(state.stopped)
        self.advance((state.recalibrated + state.scored) * len(self.archs) // self.batches)
        return True


class Evaluator:
    """Scores architectures of one supernet (paper Eq. 6)."""

    def __init__(
        self,
        supernet: Supernet,
        data: Data,
        settings: ScoringSettings,
        race: Race | None = None,
        partial_scores: PartialScores | None = None,
    ) -> None:
        """Recalibrate on training images of `data`, and score on its whole hold-out.

        Args:
            race: stops candidates that have lost; the hold-out is then shuffled.
            partial_scores: where a killed call continues from.
        """
        self._supernet = supernet.eval()
        self._device = next(supernet.parameters()).device
        self._executor, self._threads = open_threads(settings.threads, self._device), settings.threads
        self._preprocessing = data.preprocessing
        self._race, self._partial_scores = race, partial_scores
        holdout = shuffled(data.holdout, settings.seed) if race else data.holdout
        indices = recalibration_indices(data, settings.bn_images, settings.batch, settings.seed)
        self._recalibration, self._holdout = (
            Batches(data.train, chosen, settings.batch, settings.workers, settings.most_bytes)
            for chosen in (indices, holdout)
        )

    def __call__(self, arch: Architecture) -> float:
        """Top-1 accuracy of `arch` on the hold-out, 0 to 1."""
        return self.many([arch])[0].accuracy

    def many(
        self, archs: Sequence[Architecture], threshold: RaceThreshold | None = None, advance: Advance = ignore_progress
    ) -> list[Score]:
        """The score of each of `archs`, which must differ: the same numbers as one by one, in less time.

        Args:
            threshold: the candidate to race against; without it all images are used.
            advance: called with the number of candidates whose work is done.

        Raises:
            BadData: an image cannot be read.
        """
        if not archs:
            return []
        work = self._begin(archs, threshold if self._race else None, advance)
        self._recalibrate(work)
        self._score_holdout(work)
        return [self._score(work, number) for number in range(len(archs))]

    def recalibration_inputs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The recalibration batches as network inputs and labels, on the device."""
        return self._inputs(self._recalibration.after(0))

    def holdout_inputs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The hold-out batches as network inputs and labels, on the device."""
        return self._inputs(self._holdout.after(0))

    def _begin(self, archs: Sequence[Architecture], threshold: RaceThreshold | None, advance: Advance) -> _Work:
        work = self._new_work(archs, threshold, advance)
        state = self._partial_scores.load(archs, work.against) if self._partial_scores else None
        if state is not None and not work.restore(state):
            return self._new_work(archs, threshold, advance)
        return work

    def _new_work(self, archs: Sequence[Architecture], threshold: RaceThreshold | None, advance: Advance) -> _Work:
        trie = ParallelTrie(self._supernet, archs, self._executor, self._threads)
        trie.begin()
        correct = torch.zeros(len(archs), self._holdout.images, dtype=torch.bool, device=self._device)
        losses = torch.zeros(len(archs), dtype=torch.float64, device=self._device)
        batches = len(self._recalibration) + len(self._holdout)
        return _Work(archs, trie, threshold, correct, losses, advance, batches)

    def _recalibrate(self, work: _Work) -> None:
        """Give each layer the mean of the batches' statistics, as `training.recalibrate` does for one network."""
        for x, _ in self._inputs(self._recalibration.after(work.recalibrated)):
            for _ in work.trie.run(x):
                pass
            work.recalibrated += 1
            self._finish_batch(work)
        work.trie.end()

    def _score_holdout(self, work: _Work) -> None:
        seen = work.scored * self._holdout.batch
        looks = self._race.points(len(self._holdout)) if self._race else ()
        for x, labels in self._inputs(self._holdout.after(work.scored)):
            for number, logits in work.trie.run(x):
                work.correct[number, seen : seen + len(labels)] = logits.argmax(1) == labels
                work.losses[number] += F.cross_entropy(logits.double(), labels, reduction="sum")
            seen += len(labels)
            work.scored += 1
            if work.scored in looks and self._race and work.threshold:
                self._stop_losers(work, self._race, work.threshold, seen)
            self._finish_batch(work)
            if len(work.stopped) == len(work.archs):
                break

    def _stop_losers(self, work: _Work, race: Race, threshold: RaceThreshold, seen: int) -> None:
        alive = [number for number in range(len(work.archs)) if number not in work.stopped]
        losers = race.losers(work.correct[alive, :seen].cpu().numpy(), threshold.correct[:seen])
        work.stopped |= {alive[row]: seen for row in losers}
        work.trie.keep(set(alive) - set(work.stopped))

    def _finish_batch(self, work: _Work) -> None:
        work.report()
        if self._partial_scores and self._partial_scores.due():
            self._partial_scores.save(work.archs, work.against, work.state())

    def _score(self, work: _Work, number: int) -> Score:
        images = work.stopped.get(number)
        correct = work.correct[number, :images].cpu().numpy()
        kept = correct if self._race and images is None else None
        return Score(
            int(correct.sum()) / len(correct), images, kept, self._loss(work, number) if images is None else None
        )

    def _loss(self, work: _Work, number: int) -> float:
        loss = float(work.losses[number]) / self._holdout.images
        return loss if math.isfinite(loss) else MAX_LOSS

    def _inputs(self, batches: Iterable[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        for pixels, labels in batches:
            yield self._preprocessing(pixels.to(self._device)), labels.to(self._device)
