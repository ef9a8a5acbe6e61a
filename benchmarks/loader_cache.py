"""Images per second of training and evaluation: files, decoded images in the cache, and decoded images in memory."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

import torch
from lines import Lines
from torch import Tensor

from toolchain.config import Config
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.spaces.core import SearchSpace
from toolchain.training.accuracy import fixed_batches, top1
from toolchain.training.batches import StepSampler, mix, training_batches
from toolchain.training.data import Data, configured_data
from toolchain.training.decoded.kept_images import KeptImages
from toolchain.training.images import FolderImages
from toolchain.training.optimizer import build_optimizer
from toolchain.training.passes import Passes, through
from toolchain.training.precision import FP32
from toolchain.training.recalibrate import recalibrate
from toolchain.training.recipe import Recipe, load_recipe
from toolchain.training.stepper import Stepper
from toolchain.training.strategies import Path as SampledPath

ROUNDS = 5
CROPS = {"random_resized_crop": True, "flip": True, "source_ratio": 2.0}
Rates = dict[str, float]


class InMemory(KeptImages):
    """Decoded images as tensors in memory."""

    def __init__(self, kept: KeptImages, images: int) -> None:
        tensors = [kept.get(index) for index in range(images)]
        self._tensors = [tensor.clone() for tensor in tensors if tensor is not None]
        assert len(self._tensors) == images

    def get(self, index: int) -> Tensor | None:
        return self._tensors[index]


def compare(folder: Path, space: SearchSpace, workers: int, batch: int, epochs: int) -> tuple[Rates, Rates, Rates]:
    """Seconds of loading the data set in three commands, and images per second of training and of evaluation."""
    changes = {"batch": batch, "augmentation": CROPS}
    config = Config(data=f"folder:{folder}", workers=workers, train={"recipe": "quick", "changes": changes})
    recipe = load_recipe("quick", "supernet", changes)
    with TemporaryDirectory(prefix="nastool-cache-") as cache:
        os.environ["NASTOOL_CACHE"] = cache
        loading = {}
        for name, switch in (("check only", "off"), ("check and decode", "on"), ("next command", "on")):
            if name == "check and decode":
                for path in Path(cache).iterdir():
                    path.unlink()  # the facts of the check
            began = time.perf_counter()
            data = configured_data(config.model_copy(update={"cache": switch}), space, Lines(), "supernet")
            loading[name] = time.perf_counter() - began
            if name == "check only":
                files = data
        variants = {"files": files, "cache": data, "memory": _in_memory(data)}
        _require_same_pixels(variants)
        training = {name: trainer(each, space, recipe, workers, epochs) for name, each in variants.items()}
        evaluation = {name: evaluator(each, space) for name, each in variants.items()}
        return loading, _medians(training), _medians(evaluation)


def _in_memory(data: Data) -> Data:
    train = data.train
    assert isinstance(train, FolderImages)
    kept = {resolution: InMemory(images, len(train.labels)) for resolution, images in train.kept.items()}
    return replace(data, train=replace(train, kept=kept))


def _require_same_pixels(variants: Mapping[str, Data]) -> None:
    some = list(range(0, len(variants["files"].train.labels), 17))
    pixels = [data.train.fetch(some) for data in variants.values()]
    assert all(torch.equal(pixels[0], other) for other in pixels)


def trainer(data: Data, space: SearchSpace, recipe: Recipe, workers: int, epochs: int) -> Callable[[], float]:
    """A function that trains a supernet for some epochs, and gives the images per second after the first batches."""
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    optimizer = build_optimizer(supernet, recipe.model_copy(update={"lr": 1e-4}))

    def plan(step: int) -> Passes:
        return through(supernet, [SampledPath(space.draw(Random(mix(0, step))))])

    stepper = Stepper(plan, data.preprocessing, optimizer, FP32.scaler(torch.device("cpu")), FP32, 0.0)
    skipped = 2 * max(1, workers)
    steps = skipped + epochs * len(data.fit) // recipe.batch

    def rate() -> float:
        supernet.train()
        batches = training_batches(
            data.train,
            StepSampler(data.fit, recipe.batch, 0, 0, steps),
            recipe.augmentation,
            workers,
            torch.device("cpu"),
        )
        for step, (pixels, labels) in enumerate(islice(batches, skipped)):
            stepper(pixels, labels, step)
        began = time.perf_counter()
        for step, (pixels, labels) in enumerate(batches, skipped):
            stepper(pixels, labels, step)
        return (steps - skipped) * recipe.batch / (time.perf_counter() - began)

    return rate


def evaluator(data: Data, space: SearchSpace) -> Callable[[], float]:
    """A function that scores one network on the training images as a search does, and gives images per second."""
    supernet = Supernet(space)
    initialize(supernet, torch.Generator().manual_seed(0))
    net = supernet.extract(space.draw(Random(0)))

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        return fixed_batches(data.train, data.fit, 250)

    def rate() -> float:
        began = time.perf_counter()
        recalibrate(net, (pixels for pixels, _ in batches()), data.preprocessing)
        top1(net, batches(), data.preprocessing)
        return 2 * len(data.fit) / (time.perf_counter() - began)

    return rate


def _medians(rates: Mapping[str, Callable[[], float]]) -> Rates:
    """Medians of rounds in which every variant is measured once."""
    rounds: dict[str, list[float]] = {name: [] for name in rates}
    for _ in range(ROUNDS):
        for name, rate in rates.items():
            rounds[name].append(rate())
    return {name: median(each) for name, each in rounds.items()}
