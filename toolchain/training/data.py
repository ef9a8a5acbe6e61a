"""Data sets by name: `digits`, `fashion-mnist`, `folder:PATH`, `wds:TRAIN;TEST`; the search hold-out; preprocessing.

The hold-out on which candidates are scored is cut from the training images, the same number a class (paper
Sec. 4 "Dataset"). The test images are the data set's own, and are looked at once, after retraining.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from toolchain.errors import BadData
from toolchain.spaces.core import SearchSpace
from toolchain.training import fashion_mnist
from toolchain.training.images import FolderImages, Images, MemoryImages, unreadable
from toolchain.training.shards import load_shards

NAMES = ("digits", "fashion-mnist", "folder:PATH", "wds:TRAIN_SHARDS;TEST_SHARDS")
CHECKED_FILES = 100_000  # beyond that many, an unreadable file is named when it is met
DIGITS_TEST_SHARE = 5  # scikit-learn's digits have no test part: every fifth image of a class is ours

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.5,), (0.5,)


@dataclass(frozen=True)
class Preprocessing:
    """From uint8 pixels to a network's input, in training, search, export and in the user's service."""

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
    """A data set, cut for training (`fit`), search (`holdout`) and the last test.

    `digest` changes when an image is added, removed, renamed or resized: then the cut is another one as well.
    """

    name: str
    digest: str
    classes: tuple[str, ...]
    train: Images
    fit: tuple[int, ...]
    holdout: tuple[int, ...]
    test: Images
    preprocessing: Preprocessing


def load_data(name: str, space: SearchSpace, holdout_per_class: int, seed: int) -> Data:
    """The data set `name`, resized for `space`.

    Raises:
        BadData: unknown, missing, empty or unreadable, or its classes or channels are not the space's.
    """
    if space.in_channels not in (1, 3):
        raise BadData(
            f"images have 1 channel (grey) or 3 (colors), and the space {space.name} takes {space.in_channels}. "
            f"{_remedy(space.name, 'in_channels', 3)}"
        )
    classes: tuple[str, ...]
    train: Images
    test: Images
    if name == "digits":
        classes, train, test = _digits(space)
    elif name == "fashion-mnist":
        classes, train, test = _fashion_mnist(space)
    elif name.startswith("folder:"):
        classes, train, test = _folder(Path(name.removeprefix("folder:")), space)
    elif name.startswith("wds:"):
        classes, train, test = load_shards(name.removeprefix("wds:"), space.in_channels, space.size_px)
    else:
        raise BadData(f"unknown data set {name!r}. Known: {', '.join(NAMES)}")
    if len(classes) != space.classes:
        raise BadData(
            f"{name} has {len(classes)} classes and the space {space.name} has {space.classes}. "
            f"{_remedy(space.name, 'classes', len(classes))}"
        )
    fit, holdout = split_holdout(train.labels, holdout_per_class, seed, name)
    grey = space.in_channels == 1
    preprocessing = Preprocessing(
        space.size_px, GREY_MEAN if grey else IMAGENET_MEAN, GREY_STD if grey else IMAGENET_STD
    )
    return Data(name, _digest(train, test), classes, train, fit, holdout, test, preprocessing)


def _digest(*parts: Images) -> str:
    """16 hex digits of which images there are, and of which classes."""
    found = hashlib.sha256()
    for images in parts:
        found.update(images.labels.numpy().tobytes())
        found.update(images.identity())
    return found.hexdigest()[:16]


def split_holdout(labels: Tensor, per_class: int, seed: int, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices to train on and indices held out, `per_class` of each class exactly, drawn by `seed`.

    Raises:
        BadData: a class has not more than `per_class` images.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = labels[order]
    held: list[int] = []
    for label in sorted(set(labels.tolist())):
        members = order[shuffled == label].tolist()
        if len(members) <= per_class:
            raise BadData(
                f"{name}: class {label} has {len(members)} training images, and {per_class} of each class are "
                f"held out for the search. Write --holdout-per-class {max(1, len(members) // 5)}"
            )
        held += members[:per_class]
    held_set = set(held)
    return tuple(i for i in range(len(labels)) if i not in held_set), tuple(sorted(held))


def _remedy(name: str, option: str, value: int) -> str:
    if ".py:" in name:  # a user's own space takes no options
        return f"Write {option}={value} in the file {name.partition(':')[0]}"
    return f"Write --space {_with_option(name, option, value)}"


def _with_option(space_name: str, key: str, value: int) -> str:
    """The space's name with one option set and its other options kept."""
    family, _, options = space_name.partition(":")
    others = [option for option in options.split(",") if option and option.partition("=")[0].strip() != key]
    return f"{family}:{','.join([*others, f'{key}={value}'])}"


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
            f"{', '.join(map(str, fashion_mnist.places()))}. Type apt-get install dataset-fashion-mnist, "
            "or put torchvision's four files into one of them, or use --data digits"
        )
    train, test = (
        MemoryImages.resized(*fashion_mnist.read(folder, part), space.in_channels, space.size_px)
        for part in ("train", "t10k")
    )
    return fashion_mnist.CLASSES, train, test


def _folder(root: Path, space: SearchSpace) -> tuple[tuple[str, ...], Images, Images]:
    train_names, train = _one_folder(root / "train", space)
    val_names, test = _one_folder(root / "val", space)
    if train_names != val_names:
        odd = sorted(set(train_names) ^ set(val_names))
        raise BadData(f"{root}: train/ and val/ differ in classes: {', '.join(odd)}. Give both the same class folders")
    if len(train_names) < 2:
        raise BadData(
            f"{root / 'train'} holds one class, {train_names[0]}. Make a folder for each of two or more classes"
        )
    return train_names, train, test


def _one_folder(folder: Path, space: SearchSpace) -> tuple[tuple[str, ...], FolderImages]:
    from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

    if not folder.is_dir():
        raise BadData(f"{folder} is not there. folder:PATH takes PATH/train/CLASS/IMAGE and PATH/val/CLASS/IMAGE")
    try:
        names, index_of = find_classes(str(folder))
        samples = make_dataset(str(folder), index_of, extensions=IMG_EXTENSIONS)
    except FileNotFoundError as problem:
        raise BadData(f"{folder} lacks images: {problem}. Put images into each class folder, or remove it") from None
    paths = tuple(Path(path) for path, _ in samples)
    _check_readable(paths[:CHECKED_FILES])
    labels = torch.tensor([label for _, label in samples])
    return tuple(names), FolderImages(paths, labels, space.in_channels, space.size_px)


def _check_readable(paths: Sequence[Path]) -> None:
    """Read each file's header, so that a broken file is named before hours of training and not in the middle."""
    from PIL import Image

    for path in paths:
        try:
            with Image.open(path) as image:
                image.verify()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
            raise unreadable(path, problem) from None
