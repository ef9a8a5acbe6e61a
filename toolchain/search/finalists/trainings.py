"""One training of one finalist, and the journal of their results.

A training is that of `nastool retrain`, with the seed of its round, but judged on the hold-out: the test images are
for the winner only. Results are kept in the run, so that a killed search resumes and a later search for another budget
trains nothing twice.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from typing import Annotated

from pydantic import Field, JsonValue

from toolchain.parallel.collectives import from_first
from toolchain.runs import Run
from toolchain.search.finalists.halving import Training
from toolchain.search.journal import JournalLine, open_journal
from toolchain.search.scores import PackedFlags, pack, unpack
from toolchain.spaces.core import Architecture
from toolchain.training.accuracy import flags_over_ranks
from toolchain.training.fingerprint import Origin, bn_processes, retrain_fingerprint
from toolchain.training.job import Job
from toolchain.training.recipe import Recipe, load_recipe
from toolchain.training.retraining import train_alone
from toolchain.training.starting_point import StartingPoint
from toolchain.training.stored_fingerprint import Fingerprint, StoredFingerprint

# the result of an architecture with the seed of a round, and the title of its progress
Train = Callable[[Architecture, int, str], Training]


class FinalistLine(JournalLine):
    """One training of one finalist.

    Args:
        repeat: its round; the seed of the training is that of the run plus this number.
        correct: packed flags of the hold-out images.
        seconds: how long it took; one that was killed counts from where it resumed.
    """

    repeat: Annotated[int, Field(ge=0)]
    correct: PackedFlags
    seconds: Annotated[float, Field(ge=0)]

    @property
    def training(self) -> Training:
        return Training(unpack(self.correct), self.seconds)


class FinalistFingerprint(Fingerprint):
    """What the result of a training depends on, besides its round."""

    space_digest: str
    training_images: str
    holdout_images: str
    holdout_per_class: int | str
    seed: int
    recipe: Recipe
    bn_processes: int | None = None
    start_from: str | None = None
    teacher: str | None = None

    def stored(self) -> dict[str, JsonValue]:
        """Without what is not configured."""
        return self.model_dump(mode="json", exclude_none=True)


class Trainings:
    """Trains finalists; a training whose result is known is not repeated."""

    def __init__(self, job: Job) -> None:
        """Open the journal of these settings; each setting of the trainings has its own folder.

        Raises:
            BadDocument: a line of the journal is damaged.
            RunFolderError: it cannot be written.
        """
        self._job, self._start = job, StartingPoint(job)
        fingerprint = _fingerprint(job, self._start.origin).stored()
        self._folder = job.run.finalists / _short_digest(fingerprint)
        self._journal = open_journal(self._folder / "trainings.jsonl", fingerprint, FinalistLine, job.space)
        self._known = {(line.architecture, line.repeat): line for line in self._journal.lines}

    def __call__(self, arch: Architecture, repeat: int, title: str) -> Training:
        """The result of training `arch` with the seed of `repeat`.

        Args:
            title: of its progress.

        Raises:
            TrainingDiverged: the loss or the weights are not finite.
            BadData, RunFolderError: see `loop.train`.
        """
        line = self._known.get((arch.choices, repeat))
        if line is None:
            line = self._train(arch, repeat, title)
            self._journal.append(line)
            self._known[arch.choices, repeat] = line
            shutil.rmtree(self._round(repeat).retrain(arch), ignore_errors=True)  # its checkpoint
        return line.training

    def _train(self, arch: Architecture, repeat: int, title: str) -> FinalistLine:
        began = time.monotonic()
        config, data = self._job.config, self._job.data
        job = self._job.seeded(config.seed + repeat, self._round(repeat))
        fingerprint = retrain_fingerprint(job, arch, self._start.origin).stored()
        net, _ = train_alone(job, arch, fingerprint, self._start, title)
        correct = flags_over_ranks(net, data.train, data.holdout, config.search.batch, data.preprocessing)
        seconds = from_first(lambda: round(time.monotonic() - began, 3))
        return FinalistLine(architecture=arch.choices, repeat=repeat, correct=pack(correct), seconds=seconds)

    def _round(self, repeat: int) -> Run:
        return Run(self._folder / f"repeat_{repeat}")


def _fingerprint(job: Job, origin: Origin) -> FinalistFingerprint:
    config, digests = job.config, job.data.digests
    return FinalistFingerprint(
        space_digest=job.space.digest,
        training_images=digests.training,
        holdout_images=digests.holdout,
        holdout_per_class=config.holdout_per_class,
        seed=config.seed,
        recipe=load_recipe(config.retrain.recipe, "retrain", config.retrain.changes),
        bn_processes=bn_processes(config.retrain),
        **vars(origin),
    )


def _short_digest(fingerprint: StoredFingerprint) -> str:
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:8]
