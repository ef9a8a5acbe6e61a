"""What the weights of a training depend on. Training continues, and weights are used, only where it is the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from toolchain.config import ArchitectureConfig, TrainConfig
from toolchain.parallel.ranks import world
from toolchain.spaces.core import Architecture
from toolchain.training.checkpoint import file_hash
from toolchain.training.job import Job
from toolchain.training.phases import AddedEpochs
from toolchain.training.recipe import Recipe, Stage, load_recipe
from toolchain.training.rivals import RivalName, is_rival
from toolchain.training.rivals.configured import cost_in_loss
from toolchain.training.sampled_range import Sampling, cost_digest, sampled_range
from toolchain.training.stored_fingerprint import Fingerprint
from toolchain.training.strategies import StrategyName

SCORED_ON = ("space_digest", "training_images", "holdout_per_class", "seed")  # the seed draws the hold-out
ORIGIN = ("start_from", "teacher")  # fields of RetrainFingerprint
SAMPLERS_OF_0_1_0 = {"constraint": "levels"}  # the fingerprints of checkpoints keep the older name


class TrainingFingerprint(Fingerprint):
    """The inputs of every training; `space` and `data` are the names of what the digests cover.

    `bn_processes` is the number of processes whose batch normalization used its own images alone; otherwise None, and
    absent in files.
    """

    space: str
    space_digest: str
    data: str
    training_images: str
    holdout_per_class: int | str
    seed: int
    recipe: Recipe
    holdout_images: str | None = None  # of a training that may end early
    bn_processes: int | None = None

    def stored(self) -> dict[str, JsonValue]:
        content = super().stored()
        for name in ("bn_processes", "holdout_images"):
            if content[name] is None:
                del content[name]
        return content


class ArchitectureFingerprint(Fingerprint):
    """The hyper-parameters of a rival; latencies are measured, so a loss with latency has a digest of the table."""

    settings: ArchitectureConfig
    table: str | None = None


class SupernetFingerprint(TrainingFingerprint):
    """Of a supernet; `start_from` is the SHA-256 of the weights that its training starts from.

    `sampling` is None, and absent in files, where nothing is configured, as in the checkpoints of versions without it.
    """

    sampler: str
    start_from: str | None
    strategy: StrategyName | RivalName = "spos"
    sampling: Sampling | None = None
    architecture: ArchitectureFingerprint | None = None
    importance: Literal["taylor"] | None = None
    added_epochs: tuple[AddedEpochs, ...] = ()

    def with_added(self, epochs: Sequence[AddedEpochs]) -> "SupernetFingerprint":
        """The same training with these epochs added to it."""
        return self.model_copy(update={"added_epochs": tuple(epochs)})

    def stored(self) -> dict[str, JsonValue]:
        """Without what versions before these options did not write, so that files with defaults stay the same."""
        content = super().stored()
        if self.strategy == "spos":
            del content["strategy"]
        if self.sampling is None:
            del content["sampling"]
        for name in ("architecture", "importance"):
            if content[name] is None:
                del content[name]
        if not self.added_epochs:
            del content["added_epochs"]
        return content


@dataclass(frozen=True)
class Origin:
    """SHA-256 of the weights that the training of a single network starts from, and of those of its teacher.

    None: random weights, and no teacher.
    """

    start_from: str | None = None
    teacher: str | None = None


class RetrainFingerprint(TrainingFingerprint):
    """Of an architecture that is trained alone. The fields of `Origin` are absent in files where they are None."""

    architecture: tuple[str, ...]
    start_from: str | None = None
    teacher: str | None = None

    def stored(self) -> dict[str, JsonValue]:
        content = super().stored()
        return {name: value for name, value in content.items() if name not in ORIGIN or value is not None}


def supernet_fingerprint(job: Job) -> SupernetFingerprint:
    """What the weights of a supernet depend on, before epochs are added to its training.

    Raises:
        BadCheckpoint: the weights to start from cannot be read.
        BadConfig: see `load_recipe`.
    """
    training = job.config.train
    sampled = sampled_range(training, job.space, job.latency)
    return SupernetFingerprint(
        **vars(training_fingerprint(job, training, "supernet")),
        sampler=SAMPLERS_OF_0_1_0.get(training.sampler, training.sampler),
        start_from=None if training.start_from is None else file_hash(training.start_from),
        strategy=training.strategy,
        sampling=sampled.fingerprint() if sampled else None,
        architecture=_architecture_fingerprint(job) if is_rival(training.strategy) else None,
        importance="taylor" if training.importance == "taylor" and training.start_from is not None else None,
    )


def _architecture_fingerprint(job: Job) -> ArchitectureFingerprint:
    training = job.config.train
    cost = cost_in_loss(training, job.space, job.latency)
    table = cost_digest(cost) if cost is not None and cost.unit == "ms" else None
    return ArchitectureFingerprint(settings=training.architecture, table=table)


def retrain_fingerprint(job: Job, arch: Architecture, origin: Origin) -> RetrainFingerprint:
    """What the weights of `arch`, trained alone, depend on.

    Raises:
        BadConfig: see `load_recipe`.
    """
    shared = training_fingerprint(job, job.config.retrain, "retrain")
    return RetrainFingerprint(**vars(shared), architecture=arch.choices, **vars(origin))


def training_fingerprint(job: Job, training: TrainConfig, stage: Stage) -> TrainingFingerprint:
    """The part that both have: space, images, seed and recipe."""
    recipe = load_recipe(training.recipe, stage, training.changes)
    return TrainingFingerprint(
        space=job.space.name,
        space_digest=job.space.digest,
        data=job.data.name,
        training_images=job.data.digests.training,
        holdout_per_class=job.config.holdout_per_class,
        seed=job.config.seed,
        recipe=recipe,
        holdout_images=job.data.digests.holdout if recipe.patience else None,
        bn_processes=bn_processes(training),
    )


def bn_processes(training: TrainConfig) -> int | None:
    """The number of processes that normalize by their own images alone; None where statistics are shared."""
    return None if training.sync_batch_norm or world() == 1 else world()
