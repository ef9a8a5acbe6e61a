"""Networks of torchvision that a user would take without a search, at the width that fits, trained like all others."""

from functools import partial

import torch
from torch import nn
from torchvision import models

from toolchain.costs.counters import count_macs
from toolchain.nets.network import initialize
from toolchain.spaces.core import SearchSpace, rounded
from toolchain.training.accuracy import accuracy_over_ranks, recalibration_batches
from toolchain.training.fingerprint import training_fingerprint
from toolchain.training.job import Job
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.passes import Pass, Passes
from toolchain.training.precision import compute_device
from toolchain.training.recalibrate import recalibrate
from toolchain.training.recipe import load_recipe
from toolchain.training.retraining import RECALIBRATION_IMAGES
from toolchain.training.torch_setup import place_for_training

WIDTHS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
SMALL_PX = 32  # images up to this size get a first convolution of stride 1
SHUFFLENET_CHANNELS = (24, 116, 232, 464, 1024)  # of stem, stages and head at width 1


def build(family: str, width: float, space: SearchSpace) -> nn.Module:
    """A network for the images and classes of `space`: (N, in_channels, size, size) -> (N, classes).

    Args:
        family: `mobilenet_v2`, `mobilenet_v3_small`, `mnasnet` or `shufflenet_v2`.
    """
    net: nn.Module
    if family == "shufflenet_v2":
        channels = [rounded(count * width, 8) for count in SHUFFLENET_CHANNELS]
        net = models.ShuffleNetV2([4, 8, 4], channels, num_classes=space.classes)
        stem = net.conv1
    elif family == "mnasnet":
        net = models.MNASNet(width, num_classes=space.classes)
        stem = net.layers
    else:
        net = models.get_model(family, weights=None, width_mult=width, num_classes=space.classes)
        stem = net.features[0]  # type: ignore[index]  # a Sequential
    assert isinstance(stem, nn.Sequential)
    first = stem[0]
    assert isinstance(first, nn.Conv2d)
    stride = 1 if space.size_px <= SMALL_PX else 2
    stem[0] = nn.Conv2d(space.in_channels, first.out_channels, 3, stride, padding=1, bias=False)
    return net


def macs_of(family: str, width: float, space: SearchSpace) -> int:
    """Multiply-adds for one image."""
    with torch.device("meta"):
        return count_macs(build(family, width, space), space.input_shape)


def widest(family: str, space: SearchSpace, limit: float) -> float | None:
    """The greatest of `WIDTHS` with at most `limit` MACs; None if there is none."""
    return max((width for width in WIDTHS if macs_of(family, width, space) <= limit), default=None)


def test_accuracy(family: str, width: float, job: Job) -> float:
    """Train the network as `nastool retrain` trains an architecture, with the seed of the job, and test it.

    A killed training resumes from its checkpoint.
    """
    config = job.config
    training, name = config.retrain, f"{family}-{width:g}"
    net = build(family, width, job.space)
    initialize(net, torch.Generator().manual_seed(config.seed))
    place_for_training(net, compute_device(training.device), training)

    recipe = load_recipe(training.recipe, "retrain", training.changes)
    settings = TrainingSettings.of(
        job,
        training,
        name,
        checkpoint=job.run.folder / f"{name}.pt",
        fingerprint={**training_fingerprint(job, training, "retrain").stored(), "network": name},
        curves=partial(job.tracker.training, name, name),
    )
    train(net, lambda _: Passes([Pass(net)]), job.data, recipe, settings, job.progress)
    images = recalibration_batches(job.data, RECALIBRATION_IMAGES, config.search.batch, config.seed, spread=True)
    recalibrate(net, images, job.data.preprocessing)
    indices = tuple(range(len(job.data.test.labels)))
    return accuracy_over_ranks(net, job.data.test, indices, config.search.batch, job.data.preprocessing)
