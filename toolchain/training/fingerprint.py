"""What the weights of a training depend on. Training continues, and weights are used, only where it is the same."""

from pydantic import JsonValue

from toolchain.config import TrainConfig
from toolchain.spaces.core import Architecture
from toolchain.training.checkpoint import file_hash
from toolchain.training.job import Job
from toolchain.training.recipe import Recipe, Stage, load_recipe
from toolchain.training.sampled_range import Sampling, sampled_range
from toolchain.training.stored_fingerprint import Fingerprint
from toolchain.training.strategies import StrategyName

SCORED_ON = ("space_digest", "training_images", "holdout_per_class", "seed")  # the seed draws the hold-out
SAMPLERS_OF_0_1_0 = {"constraint": "levels"}  # the fingerprints of checkpoints keep the older name


class TrainingFingerprint(Fingerprint):
    """The inputs of every training; `space` and `data` are the names of what the digests cover."""

    space: str
    space_digest: str
    data: str
    training_images: str
    holdout_per_class: int
    seed: int
    recipe: Recipe


class SupernetFingerprint(TrainingFingerprint):
    """Of a supernet; `start_from` is the SHA-256 of the weights that its training starts from.

    `sampling` is None, and absent in files, where nothing is configured, as in the checkpoints of versions without it.
    """

    sampler: str
    start_from: str | None
    strategy: StrategyName = "spos"
    sampling: Sampling | None = None

    def stored(self) -> dict[str, JsonValue]:
        """Without what versions before these options did not write, so that files with defaults stay the same."""
        content = super().stored()
        if self.strategy == "spos":
            del content["strategy"]
        if self.sampling is None:
            del content["sampling"]
        return content


class RetrainFingerprint(TrainingFingerprint):
    """Of an architecture that is trained alone."""

    architecture: tuple[str, ...]


def supernet_fingerprint(job: Job) -> SupernetFingerprint:
    """What the weights of a supernet depend on.

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
    )


def retrain_fingerprint(job: Job, arch: Architecture) -> RetrainFingerprint:
    """What the weights of `arch`, trained alone, depend on.

    Raises:
        BadConfig: see `load_recipe`.
    """
    shared = training_fingerprint(job, job.config.retrain, "retrain")
    return RetrainFingerprint(**vars(shared), architecture=arch.choices)


def training_fingerprint(job: Job, training: TrainConfig, stage: Stage) -> TrainingFingerprint:
    """The part that both have: space, images, seed and recipe."""
    return TrainingFingerprint(
        space=job.space.name,
        space_digest=job.space.digest,
        data=job.data.name,
        training_images=job.data.digests.training,
        holdout_per_class=job.config.holdout_per_class,
        seed=job.config.seed,
        recipe=load_recipe(training.recipe, stage, training.changes),
    )
