"""Load the trained supernet of a run, for searching and ranking."""

from dataclasses import dataclass
from pathlib import Path

import torch

from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import SearchSpace
from toolchain.training.checkpoint import Checkpoint, load, reading
from toolchain.training.fingerprint import SCORED_ON, training_fingerprint
from toolchain.training.holdout_scores import read_scores, stops_early
from toolchain.training.job import Job
from toolchain.training.learned import Distribution
from toolchain.training.phases import ADDED, last_phase
from toolchain.training.precision import compute_device
from toolchain.training.preflight import require_normalizable
from toolchain.training.recipe import Recipe
from toolchain.training.rivals.core import keys_of, probabilities
from toolchain.training.sampled_range import Sampling
from toolchain.training.state_check import load_state, require_state
from toolchain.training.torch_setup import place


@dataclass(frozen=True)
class TrainedSupernet:
    """A trained supernet, and how its paths were sampled; `sampling` is None for the default range.

    Args:
        distribution: over the choices of each block, of a training with architecture parameters; otherwise None.
    """

    supernet: Supernet
    sampler: str
    sampling: Sampling | None
    distribution: Distribution | None = None


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
        recipe = Recipe.model_validate(checkpoint.fingerprint["recipe"])
        added = ADDED.validate_python(checkpoint.fingerprint.get("added_epochs", ()))
        phase = last_phase(recipe, len(job.data.fit), added)
        steps = phase.end
        sampler, stored = str(checkpoint.fingerprint["sampler"]), checkpoint.fingerprint.get("sampling")
        sampling = None if stored is None else Sampling.model_validate(stored)
    scores = read_scores(job.run.supernet_scores) if recipe.patience else None
    until = scores and scores.until(checkpoint.step)
    ended = until is not None and stops_early(until.of_phase(phase.begin), recipe.patience, until.images)
    if checkpoint.step < steps and not ended:
        job.progress.say(
            f"this supernet is trained to step {checkpoint.step} of {steps}. nastool train continues it; a search "
            f"after that starts again"
        )
    supernet = Supernet(job.space)
    load_state(path, supernet, checkpoint.model)
    placed = place(supernet, compute_device(config.train.device))
    return TrainedSupernet(placed, sampler, sampling, _distribution(path, checkpoint, job.space))


def _distribution(path: Path, checkpoint: Checkpoint, space: SearchSpace) -> Distribution | None:
    """The softmax of the architecture parameters in `checkpoint`, which was read from `path`."""
    if not checkpoint.architecture:
        return None
    keys = keys_of(space)
    with reading(path):
        logits = checkpoint.architecture["logits"]
        require_state(path, {str(number): torch.zeros(len(names)) for number, names in enumerate(keys)}, logits)
        return probabilities(keys, [logits[str(number)] for number in range(len(keys))])
