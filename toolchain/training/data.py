"""Data sets by name: `digits`, `fashion-mnist`, `folder:PATH`, `wds:TRAIN;TEST`; the search hold-out; preprocessing.

The hold-out on which candidates are scored is cut from the training images (toolchain/training/holdout.py). The test
images are the data set's own, and are looked at once, after retraining.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolchain.config import Config, TrainConfig
from toolchain.errors import BadData
from toolchain.parallel.ranks import rank
from toolchain.progress import Progress, Quiet
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.model_source import names_model, with_option
from toolchain.training import fashion_mnist
from toolchain.training.check_parts import Cut
from toolchain.training.data_name import root_of, unknown_data
from toolchain.training.data_problems import collect, refuse
from toolchain.training.decoded.resolution import Needed, evaluated
from toolchain.training.digests import DataDigests, digests_of
from toolchain.training.duplicates import holdout_notes
from toolchain.training.folder_data import load_folder
from toolchain.training.helper_entries import is_helper
from toolchain.training.holdout import HoldOut, split_holdout
from toolchain.training.images import FolderImages, Images, MemoryImages
from toolchain.training.printable import printable
from toolchain.training.recipe import Stage, load_recipe
from toolchain.training.shard_images import ShardImages
from toolchain.training.shards import load_shards
from toolchain.training.user_path import expanded

DIGITS_TEST_SHARE = 5  # scikit-learn's digits have no test part: every fifth image of each class is used

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRAY_MEAN, GRAY_STD = (0.5,), (0.5,)
QUIET = Quiet()


@dataclass(frozen=True)
class Preprocessing:
    """uint8 pixels to network input, in training, search, export and in the user's service."""

    size_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 (N, C, S, S) -> float32 of the same shape, in channels_last memory."""
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean, device=pixels.device).view(shape)
        std = torch.tensor(self.std, device=pixels.device).view(shape)
        scaled = pixels.to(torch.float32).div_(255).sub_(mean).div_(std)
        return scaled.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Data:
    """A data set, cut for training (`fit`), search (`holdout`) and the last test."""

    name: str
    digests: DataDigests
    classes: tuple[str, ...]
    train: Images
    fit: tuple[int, ...]
    holdout: tuple[int, ...]
    test: Images
    preprocessing: Preprocessing

    @property
    def digest(self) -> str:
        """Of the images that a search depends on: training and hold-out."""
        return self.digests.searched


def configured_data(config: Config, space: SearchSpace, progress: Progress = QUIET, *stages: Stage) -> Data:
    """The data set that the configuration names, resized for `space`, and decoded as the trainings of `stages` need it.

    Raises:
        BadConfig: it names none, or a recipe is not valid.
        BadData: see `load_data`.
    """
    trainings: dict[Stage, TrainConfig] = {"supernet": config.train, "retrain": config.retrain}
    recipes = [load_recipe(trainings[stage].recipe, stage, trainings[stage].changes) for stage in stages]
    center = evaluated(space.in_channels, space.size_px)
    needed = Needed.of(center, [recipe.augmentation for recipe in recipes], config.cache == "on")
    data = load_data(config.data_name(), space, config.holdout_per_class, config.seed, progress, needed)
    if data.name.startswith(("folder:", "wds:")) and rank() == 0:
        progress.say(_in_words(data, space))
    return data


def _in_words(data: Data, space: SearchSpace) -> str:
    """`folder:pets: 37 classes, color, 160 px, 185 of 3,680 training images held out, 3,669 test images`"""
    colors = "color" if space.in_channels == 3 else "gray"
    return (
        f"{printable(data.name)}: {len(data.classes)} classes, {colors}, {space.size_px} px, {len(data.holdout):,} of "
        f"{len(data.train.labels):,} training images held out, {len(data.test.labels):,} test images"
    )


def load_data(
    name: str,
    space: SearchSpace,
    holdout_per_class: HoldOut,
    seed: int,
    progress: Progress = QUIET,
    needed: Needed | None = None,
) -> Data:
    """The data set `name`, resized for `space`.

    Args:
        needed: the pixels of image files that are kept decoded. Default: those of evaluation.

    Raises:
        BadData: unknown, missing, empty or unreadable, or its classes or channels are not the space's.
    """
    if space.in_channels not in (1, 3):
        raise BadData(
            f"images have 1 channel (gray) or 3 (colors), and the space {space.name} takes {space.in_channels}. "
            f"{_remedy(space.name, 'in_channels', 3)}"
        )
    progress = progress if rank() == 0 else QUIET

    fit: tuple[int, ...] = ()
    holdout: tuple[int, ...] = ()

    def cut(classes: Sequence[str], labels: Tensor) -> None:
        def hold_out() -> None:
            nonlocal fit, holdout
            fit, holdout = split_holdout(labels, holdout_per_class, seed, name, classes)

        refuse(name, collect(lambda: _require_classes(name, classes, space), hold_out))

    needed = needed or Needed(evaluated(space.in_channels, space.size_px))
    classes, train, test = _classes_and_images(name, space, needed, cut, progress)
    if isinstance(train, MemoryImages):  # the loaders of files cut before they decode
        cut(classes, train.labels)
    gray = space.in_channels == 1
    preprocessing = Preprocessing(
        space.size_px, GRAY_MEAN if gray else IMAGENET_MEAN, GRAY_STD if gray else IMAGENET_STD
    )
    if isinstance(train, FolderImages | ShardImages):
        for note in holdout_notes(train, fit, holdout):
            progress.say(note)
    digests = digests_of(train, fit, holdout, test)
    return Data(name, digests, classes, train, fit, holdout, test, preprocessing)


def _classes_and_images(
    name: str, space: SearchSpace, needed: Needed, cut: Cut, progress: Progress
) -> tuple[tuple[str, ...], Images, Images]:
    """The classes, the training images and the test images of a data set."""
    if name == "digits":
        return _digits(space)
    if name == "fashion-mnist":
        return _fashion_mnist(space)
    if name.startswith("folder:"):
        return load_folder(root_of(name), needed, cut, progress)
    if name.startswith("wds:"):
        return load_shards(name.removeprefix("wds:"), space.in_channels, space.size_px, cut, progress)
    raise unknown_data(name)


def count_classes(name: str) -> int | None:
    """The number of classes of a data set, without reading images; None where only images say it, or it is missing."""
    if name in ("digits", "fashion-mnist"):
        return 10
    if not name.startswith("folder:"):
        return None
    folder = expanded(name.removeprefix("folder:")) / "train"
    try:
        return sum(entry.is_dir() and not is_helper(entry.name) for entry in folder.iterdir())
    except OSError:
        return None


def class_difference(name: str | None, space: SearchSpace) -> str | None:
    """What differs and what to do if the data set `name` has another number of classes than `space`."""
    if name is None or (classes := count_classes(name)) is None or classes == space.classes:
        return None
    return _other_classes(name, classes, space)


def _require_classes(name: str, classes: Sequence[str], space: SearchSpace) -> None:
    if len(classes) != space.classes:
        raise BadData(_other_classes(name, len(classes), space))


def _other_classes(name: str, classes: int, space: SearchSpace) -> str:
    return (
        f"{name} has {classes} classes and the space {space.name} has {space.classes}. "
        f"{_remedy(space.name, 'classes', classes)}"
    )


def _remedy(name: str, option: str, value: int) -> str:
    if ".py:" in name and not names_model(name):  # a user's own space takes no options
        return f"Write {option}={value} in the file {name.partition(':')[0]}"
    return f"Write --space {with_option(name, option, value)}"


def _digits(space: SearchSpace) -> tuple[tuple[str, ...], Images, Images]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images * (255 / 16)).to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(bunch.target).long()
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for label in sorted(set(labels.tolist())):
        is_test[(labels == label).nonzero().squeeze(1)[::DIGITS_TEST_SHARE]] = True
    train, test = (
        MemoryImages.resized(pixels[part], labels[part], space.in_channels, space.size_px)
        for part in (~is_test, is_test)
    )
    return tuple(str(name) for name in bunch.target_names), train, test


def _fashion_mnist(space: SearchSpace) -> tuple[tuple[str, ...], Images, Images]:
    folder = fashion_mnist.find()
    if folder is None:
        raise BadData(
            "Fashion-MNIST is not on this machine. Looked in "
            f"{', '.join(map(str, fashion_mnist.places()))}. Run apt-get install dataset-fashion-mnist, "
            "or put torchvision's four files into one of them, or use --data digits"
        )
    train, test = (
        MemoryImages.resized(*fashion_mnist.read(folder, part), space.in_channels, space.size_px)
        for part in ("train", "t10k")
    )
    return fashion_mnist.CLASSES, train, test
