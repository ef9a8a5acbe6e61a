"""Training of the original on the user's images, where its weights are for other classes or channels.

The shrunk network is then compared with, and taught by, a model that knows these images.
"""

from dataclasses import replace

from toolchain.nets.model_space.weights import model_state, original_space
from toolchain.runs import Run
from toolchain.shrink.original import weights_of
from toolchain.spaces.model_source import full_architecture
from toolchain.training.job import Job
from toolchain.training.retrained import load_retrained
from toolchain.training.retraining import retrain
from toolchain.training.sealed_file import save_sealed


def train_original(job: Job) -> Job:
    """Train the original as [retrain] says, from the user's weights, and continue with the trained weights.

    Writes `shrink/original.pt`, a state_dict by the model's own names. A finished training is not repeated.

    Returns:
        the job whose weights of the original are those in that file.

    Raises:
        UserError: see `retrain`.
    """
    config, space = job.config, original_space(job.space)
    training = config.retrain.model_copy(update={"start_from": str(weights_of(job)), "teacher": None})
    run = Run(job.run.shrink / "original")
    alone = replace(job, config=config.model_copy(update={"retrain": training}), space=space, run=run)
    arch = full_architecture(space)
    result = retrain(alone, arch)
    job.progress.say(f"the original, trained on these images: {result.test_accuracy:.2%} of the test images")
    weights = job.run.original.with_suffix(".pt")
    save_sealed(weights, model_state(space, load_retrained(space, arch, job.data, run).state_dict()))
    start = config.train.model_copy(update={"start_from": weights})
    return replace(job, config=config.model_copy(update={"train": start}))
