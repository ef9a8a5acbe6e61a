"""Load the trained supernet of a run, for searching and ranking."""

from dataclasses import dataclass

from toolchain.nets.supernet import Supernet
from toolchain.training.checkpoint import load, reading
from toolchain.training.fingerprint import SCORED_ON, training_fingerprint
from toolchain.training.job import Job
from toolchain.training.precision import compute_device
from toolchain.training.preflight import require_normalizable
from toolchain.training.recipe import Recipe
from toolchain.training.sampled_range import Sampling
from toolchain.training.state_check import load_state
from toolchain.training.torch_setup import place


@dataclass(frozen=True)
class TrainedSupernet:
    """A trained supernet, and how its paths were sampled; `sampling` is None for the default range."""

    supernet: Supernet
    sampler: str
    sampling: Sampling | None


def load_supernet(job: Job) -> Supernet:
    """The supernet of `load_trained`."""
    return load_trained(job).supernet


def load_trained(job: Job) -> TrainedSupernet:
    """Load the trained supernet. Its recipe may differ from the configuration; space, data and seed must not.

    Raises:
        MissingStage: there is none.
        BadCheckpoint: it is damaged, or made from another space, data set or hold-out.
        BadConfig: candidates cannot be recalibrated with the batch of the search.
    """
    config, path = job.config, job.run.supernet
    job.run.require(path, "train")
    require_normalizable(config.search.batch, job.space, "search")
    checkpoint = load(path, training_fingerprint(job, config.train, "supernet").stored(), only=SCORED_ON)
    with reading(path):
        steps = Recipe.model_validate(checkpoint.fingerprint["recipe"]).steps(len(job.data.fit))
        sampler, stored = str(checkpoint.fingerprint["sampler"]), checkpoint.fingerprint.get("sampling")
        sampling = None if stored is None else Sampling.model_validate(stored)
    if checkpoint.step < steps:
        job.progress.say(
            f"this supernet is trained to step {checkpoint.step} of {steps}. nastool train continues it; a search "
            f"after that starts again"
        )
    supernet = Supernet(job.space)
    load_state(path, supernet, checkpoint.model)
    return TrainedSupernet(place(supernet, compute_device(config.train.device)), sampler, sampling)
