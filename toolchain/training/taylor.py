"""Channels of a model sorted by how much the loss on training images changes if they are removed."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolchain.errors import BadCheckpoint
from toolchain.nets.model_space.importance import Taylor
from toolchain.nets.model_space.weights import ModelWeights, builder_of_model, sorted_by
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy import fixed_batches, recalibration_indices
from toolchain.training.job import Job
from toolchain.training.original_model import train_first
from toolchain.training.precision import compute_device
from toolchain.training.state_check import load_values

IMAGES, BATCH = 1024, 64


def sorted_by_taylor(job: Job, weights: ModelWeights) -> ModelWeights:
    """`weights` of the model of the job's space, in the order of `Taylor` on up to 1,024 training images.

    Raises:
        BadCheckpoint: a part of the model is not in the weights.
        BadData: an image cannot be read.
    """
    require_trained(job.space, weights.notes)
    builder = builder_of_model(job.space)
    assert builder is not None, "these are the weights of a model"
    job.progress.say("sorting channels by the change of the loss without them")
    model = copy.deepcopy(builder.model)
    load_values(model, weights.values)
    return sorted_by(Taylor(list(_changes(model, job))), job.space, weights)


def _changes(model: nn.Module, job: Job) -> Iterator[dict[str, Tensor]]:
    """For each batch, the sums of weight times gradient over everything but the first axis, by parameter."""
    data, device = job.data, compute_device(job.config.train.device)
    model.to(device).eval().requires_grad_()
    parameters = dict(model.named_parameters())
    for pixels, labels in fixed_batches(data.train, recalibration_indices(data, IMAGES, BATCH, job.config.seed), BATCH):
        loss = F.cross_entropy(model(data.preprocessing(pixels.to(device))), labels.to(device))
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        yield {
            name: (value * gradient).detach().reshape(len(value), -1).sum(1).cpu()
            for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
            if gradient is not None and value.dim()
        }


def require_trained(space: SearchSpace, notes: tuple[str, ...]) -> None:
    """Check that the loss of the model of `space` says something about its channels.

    Args:
        notes: what was changed to make its weights fit, one sentence each.

    Raises:
        BadCheckpoint: a part of the model is not in the weights.
    """
    if notes:
        raise BadCheckpoint(
            f"the importance taylor needs a model that is trained for these images: {'; '.join(notes)}. "
            f"{train_first(space, 'WEIGHTS')}; or leave out --importance"
        )
