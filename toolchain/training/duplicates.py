"""Copies among the images: across parts, across classes, and classes that consist mostly of them.

Copies have the same pixels; they may be saved in another format without loss, or with other metadata.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from toolchain.training.image_cache import ImageFacts

MOSTLY = 0.5
NAMED = 3


class Part(Protocol):
    """The training or the test images."""

    @property
    def title(self) -> str: ...

    @property
    def labels(self) -> Sequence[int]: ...

    @property
    def facts(self) -> Sequence[ImageFacts]: ...

    @property
    def name(self) -> Callable[[int], str]: ...


class NamedImages(Protocol):
    """Images whose pixels have a digest."""

    @property
    def pixel_digests(self) -> Sequence[bytes]: ...

    def name(self, index: int) -> str: ...


def duplicate_notes(train: Part, test: Part, classes: tuple[str, ...]) -> Iterator[str]:
    """One line for each way in which images are repeated."""
    yield from _across_parts(train, test)
    for part in (train, test):
        yield from _across_classes(part)
        yield from _within_classes(part, classes)


def holdout_notes(images: NamedImages, fit: Sequence[int], holdout: Sequence[int]) -> Iterator[str]:
    """A line on hold-out images that are copies of images to train on."""
    first = _first_of([images.pixel_digests[index] for index in fit])
    copies = [index for index in holdout if images.pixel_digests[index] in first]
    if copies:
        copy, original = images.name(copies[0]), images.name(fit[first[images.pixel_digests[copies[0]]]])
        yield (
            f"warning: {len(copies):,} of {len(holdout):,} hold-out images are exact copies of images to train on, "
            f"e.g. {copy} is {original}. Remove the copies, or the scores of candidates are too high"
        )


def _across_parts(train: Part, test: Part) -> Iterator[str]:
    first = _first_of([fact.pixels for fact in train.facts])
    copies = [index for index, fact in enumerate(test.facts) if fact.pixels in first]
    if copies:
        original = train.name(first[test.facts[copies[0]].pixels])
        yield (
            f"warning: {len(copies):,} of {len(test.facts):,} test images are also training images, "
            f"e.g. {test.name(copies[0])} is {original}. Remove them from one part, or test accuracy is too high"
        )


def _across_classes(part: Part) -> Iterator[str]:
    first = _first_of([fact.pixels for fact in part.facts])
    copies = [index for index, fact in enumerate(part.facts) if part.labels[first[fact.pixels]] != part.labels[index]]
    if copies:
        original = part.name(first[part.facts[copies[0]].pixels])
        yield (
            f"warning: {part.title}: {len(copies):,} of {len(part.facts):,} images are exact copies of images of "
            f"another class, e.g. {part.name(copies[0])} is {original}. Remove the wrong ones"
        )


def _within_classes(part: Part, classes: tuple[str, ...]) -> Iterator[str]:
    images = Counter(part.labels)
    distinct = Counter(
        label for label, _ in {(label, fact.pixels) for label, fact in zip(part.labels, part.facts, strict=True)}
    )
    mostly = [label for label in sorted(images) if 1 - distinct[label] / images[label] > MOSTLY]
    if mostly:
        named = ", ".join(
            f"{classes[label]} ({distinct[label]:,} of {images[label]:,} differ)" for label in mostly[:NAMED]
        )
        more = f" and {len(mostly) - NAMED} more" if len(mostly) > NAMED else ""
        yield f"warning: {part.title}: most images are exact copies in the classes {named}{more}. Remove the copies"


def _first_of(digests: Sequence[bytes]) -> dict[bytes, int]:
    """The first position of each digest."""
    first: dict[bytes, int] = {}
    for position, digest in enumerate(digests):
        first.setdefault(digest, position)
    return first
