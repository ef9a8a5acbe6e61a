"""What the weights of a training depend on. Training continues, and weights are used, only where it is the same."""

from typing import Any

from toolchain.config import TrainConfig
from toolchain.spaces.core import Architecture
from toolchain.training.checkpoint import file_hash
from toolchain.training.job import Job
from toolchain.training.recipe import Stage, load_recipe

SCORED_ON = ("space_digest", "training_images", "holdout_per_class", "seed")  # the seed draws the hold-out
SAMPLERS_OF_0_1_0 = {"constraint": "levels"}  # the fingerprints of checkpoints keep the older name


def supernet_fingerprint(job: Job) -> dict[str, Any]:
    """What the weights of a supernet depend on.

    Raises:
        BadCheckpoint: the weights to start from cannot be read.
        BadConfig: see `load_recipe`.
    """
    training = job.config.train
    return training_fingerprint(job, training, "supernet") | {
        "sampler": SAMPLERS_OF_0_1_0.get(training.sampler, training.sampler),
        "start_from": None if training.start_from is None else file_hash(training.start_from),
    }


def retrain_fingerprint(job: Job, arch: Architecture) -> dict[str, Any]:
    """What the weights of `arch`, trained alone, depend on.

    Raises:
        BadConfig: see `load_recipe`.
    """
    return training_fingerprint(job, job.config.retrain, "retrain") | {"architecture": list(arch.choices)}


def training_fingerprint(job: Job, training: TrainConfig, stage: Stage) -> dict[str, Any]:
    """The part that both have: space, images, seed and recipe."""
    return {
        "space": job.space.name,
        "space_digest": job.space.digest,
        "data": job.data.name,
        "training_images": job.data.digests.training,
        "holdout_per_class": job.config.holdout_per_class,
        "seed": job.config.seed,
        "recipe": load_recipe(training.recipe, stage, training.changes).model_dump(),
    }
