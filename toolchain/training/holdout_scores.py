"""Hold-out accuracy of fixed networks along a training: whether it is long enough, and when it may stop."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from torch import nn

from toolchain.errors import BadCheckpoint
from toolchain.files import Document, Share, read_document, write_document
from toolchain.training.accuracy import fixed_batches, recalibration_indices, top1
from toolchain.training.accuracy_interval import standard_error
from toolchain.training.batches import Batch
from toolchain.training.data import Data
from toolchain.training.recalibrate import recalibrate

EVALUATIONS = 10  # of a training, at most, and not more than one in an epoch
BN_IMAGES, HOLDOUT_IMAGES, BATCH = 512, 1000, 128  # of each evaluation: enough for a trend, and quick

Networks = Callable[[nn.Module], Mapping[str, nn.Module]]  # the networks that are scored, from the trained module


class HoldoutScore(Document):
    """Hold-out accuracy of each network after `step` updates."""

    step: int
    epoch: float
    accuracy: dict[str, Share]

    @property
    def mean(self) -> float:
        """The mean over the networks."""
        return sum(self.accuracy.values()) / len(self.accuracy)


class HoldoutScores(Document):
    """The content of holdout.json.

    Args:
        networks: choices of each network that is scored.
        images: of the hold-out, on which all of them are scored.
    """

    networks: dict[str, tuple[str, ...]]
    images: int
    scores: tuple[HoldoutScore, ...] = ()

    def of_phase(self, begin: int) -> list[HoldoutScore]:
        """The scores of the phase that began after `begin` updates."""
        return [score for score in self.scores if begin < score.step]

    def until(self, step: int) -> "HoldoutScores":
        """Without the scores after `step`, which a killed training repeats."""
        return self.model_copy(update={"scores": tuple(score for score in self.scores if score.step <= step)})


def read_scores(path: Path) -> HoldoutScores | None:
    """The scores of a training; None if it has none.

    Raises:
        BadCheckpoint: the file is damaged.
    """
    if not path.exists():
        return None
    return read_document(path, HoldoutScores, "Remove it; nastool train writes it again", BadCheckpoint)


def stops_early(scores: Sequence[HoldoutScore], patience: int, images: int) -> bool:
    """Whether each of the last `patience` evaluations is clearly below the best one before them; 0: never.

    Clearly: the mean accuracy is lower by more than its standard error on so many `images`. A supernet's accuracy stays
    the same for many epochs before it rises, so that "not higher" would end trainings that have hardly begun.
    """
    if not patience or len(scores) <= patience:
        return False
    best = max(score.mean for score in scores[:-patience])
    return max(score.mean for score in scores[-patience:]) < best - standard_error(best, images)


@dataclass(frozen=True)
class HoldoutWatch:
    """Scores networks at fixed steps of a training, and keeps the scores in a file.

    Args:
        networks: from the trained module to what is scored.
        named: choices of each of them.
        patience: evaluations clearly below the best one until the training ends; 0: it does not.
    """

    path: Path
    networks: Networks
    named: Mapping[str, tuple[str, ...]]
    data: Data
    seed: int
    patience: int = 0

    def due(self, step: int, begin: int, end: int, steps_per_epoch: float) -> bool:
        """Whether the training from step `begin` to `end` is evaluated after `step` updates."""
        every = max(math.ceil(steps_per_epoch), math.ceil((end - begin) / EVALUATIONS))
        return step == end or (step - begin) % every == 0

    def resume(self, step: int) -> HoldoutScores:
        """The scores until `step`, where a training begins or continues."""
        holdout = len(self._holdout)
        earlier = read_scores(self.path) if step else None
        return (earlier or HoldoutScores(networks=dict(self.named), images=holdout)).until(step)

    def add(self, scores: HoldoutScores, model: nn.Module, step: int, epoch: float) -> HoldoutScores:
        """Score the networks of `model`, and write the file.

        Raises:
            BadData: an image cannot be read.
            RunFolderError: the file cannot be written.
        """
        recalibration = self._batches(recalibration_indices(self.data, BN_IMAGES, BATCH, self.seed))
        holdout = self._batches(self._holdout)
        accuracy = {}
        for name, net in self.networks(model).items():
            recalibrate(net, (pixels for pixels, _ in recalibration), self.data.preprocessing)
            accuracy[name] = top1(net, holdout, self.data.preprocessing)
        added = HoldoutScore(step=step, epoch=epoch, accuracy=accuracy)
        scores = scores.model_copy(update={"scores": (*scores.scores, added)})
        write_document(self.path, scores)
        return scores

    def stops(self, scores: HoldoutScores, begin: int) -> bool:
        """Whether the training that began at step `begin` ends here."""
        return stops_early(scores.of_phase(begin), self.patience, scores.images)

    def _batches(self, indices: tuple[int, ...]) -> list[Batch]:
        """The images, read once for all networks."""
        return list(fixed_batches(self.data.train, indices, BATCH))

    @property
    def _holdout(self) -> tuple[int, ...]:
        """The same images at each evaluation: a random part of a large hold-out."""
        holdout = self.data.holdout
        if len(holdout) <= HOLDOUT_IMAGES:
            return holdout
        return tuple(sorted(Random(self.seed).sample(holdout, HOLDOUT_IMAGES)))
