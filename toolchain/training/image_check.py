"""Decode every image file once before training: all damaged files are named together, and contents get a digest.

The decoded pixels that training and evaluation need are kept at the same time (toolchain/training/decoded).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageStat

from toolchain.errors import BadData
from toolchain.progress import Progress
from toolchain.training.cores import available_cores
from toolchain.training.decode import (
    WhiteLevels,
    deep_values,
    is_deep,
    is_deep_color,
    opened,
    shown,
    white_level,
)
from toolchain.training.decoded.keeper import Keeper, Pixels
from toolchain.training.decoded.resolution import Resolution
from toolchain.training.image_cache import ImageCache, ImageFacts, content_digest

CHUNK = 256  # images between two updates of progress and cache
LOW_CONTRAST = 3.0  # standard deviation in levels of 255: 12 bits read as 16 have 2 to 4, photos 30 and more
LOW_CONTRAST_SHARE = 0.05
DRAFT_PX = 256  # of larger JPEG files, an eighth of the size is decoded


class ImageFiles(Protocol):
    """Image files by number."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """For messages."""

    def key(self, index: int) -> bytes:
        """Changes when the file does (path, size, modification time, inode)."""

    def content(self, index: int) -> bytes:
        """The file.

        Raises:
            BadData: it cannot be read.
        """


@dataclass(frozen=True)
class CachedFacts:
    """Image files, with the key of each in the cache and the facts that the cache holds."""

    files: ImageFiles
    keys: tuple[bytes | None, ...]
    facts: tuple[ImageFacts | None, ...]

    @classmethod
    def of(cls, files: ImageFiles) -> "CachedFacts":
        """Look all files up, without reading them."""
        keys = tuple(_key(files, index) for index in range(len(files)))
        known = ImageCache().get([key for key in keys if key is not None])
        return cls(files, keys, tuple(known.get(key) if key else None for key in keys))

    @property
    def missing(self) -> list[int]:
        """The numbers of the files that are not in the cache."""
        return [index for index, fact in enumerate(self.facts) if fact is None]


@dataclass(frozen=True)
class Checked:
    """Facts of each image, and the messages of those that cannot be decoded."""

    facts: tuple[ImageFacts | None, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Decoded:
    """The result for one image; pixels that depend on the other images of the data set are left out."""

    facts: ImageFacts
    pixels: Pixels = field(default_factory=dict)


def check_images(cached: CachedFacts, title: str, progress: Progress, keeper: Keeper | None = None) -> Checked:
    """Decode each image once, on all CPU cores; those that the cache knows are not read again.

    `keeper` gets the pixels of the images that are read. Look up and check within one `one_process_at_a_time`.
    """
    try:
        return _check_all(cached, title, progress, keeper)
    finally:
        if keeper:
            keeper.flush()


def _check_all(cached: CachedFacts, title: str, progress: Progress, keeper: Keeper | None) -> Checked:
    missing = cached.missing
    if not missing:
        return Checked(cached.facts, ())
    cache, keys, facts = ImageCache(), cached.keys, list(cached.facts)
    problems: list[str] = []
    check = partial(_check, cached.files, resolutions=keeper.resolutions if keeper else ())
    task = progress.start(f"check images of {title}", len(keys), done=len(keys) - len(missing))
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            fresh: dict[bytes, ImageFacts] = {}
            for index, result in zip(chunk, pool.map(check, chunk), strict=True):
                if isinstance(result, BadData):
                    problems.append(str(result))
                    continue
                facts[index] = result.facts
                if key := keys[index]:
                    fresh[key] = result.facts
                if keeper:
                    keeper.add(result.facts.digest, result.pixels)
            cache.put(fresh)
            task.advance(len(chunk))
    return Checked(tuple(facts), tuple(problems))


def white_levels(facts: Sequence[ImageFacts]) -> WhiteLevels:
    """The white levels of a data set, from its training images of more than 8 bits."""
    highest = {mode: max((fact.high for fact in facts if fact.mode == mode), default=None) for mode in ("I", "F")}
    given = WhiteLevels()
    return WhiteLevels(
        given.integer if highest["I"] is None else white_level(highest["I"], "I"),
        given.real if highest["F"] is None else white_level(highest["F"], "F"),
    )


def brightness_notes(name: str, facts: Sequence[ImageFacts], white: WhiteLevels) -> Iterator[str]:
    """How images of more than 8 bits are scaled, and a warning where many images have almost no contrast."""
    for mode, sort in (("I", "integers"), ("F", "floating-point numbers")):
        if deep := sum(fact.mode == mode for fact in facts):
            images = f"{deep:,} of {len(facts):,} images"
            yield f"{name}: {images} hold {sort} of more than 8 bits, {white.of(mode):g} is white"
    flat = sum(_levels(fact, white) < LOW_CONTRAST for fact in facts)
    if flat >= max(2, LOW_CONTRAST_SHARE * len(facts)):
        yield (
            f"warning: {name}: {flat:,} of {len(facts):,} images have almost no contrast (nearly one color). Check how "
            f"they were saved, e.g. 12 bits in 16 or values of 0 to 1 in 8 bits"
        )


def require_full_range(name: str, facts: Sequence[ImageFacts]) -> None:
    """Refuse color images of 16 bits that use the lower bits only: Pillow keeps the upper 8, so they would be dark.

    Raises:
        BadData: no value of these images is in the upper half of the range.
    """
    highest = max((fact.high for fact in facts if fact.mode == "C"), default=255.0)
    if highest < 128:
        deep = sum(fact.mode == "C" for fact in facts)
        raise BadData(
            f"{name}: {deep:,} of {len(facts):,} images have 16 bits per color, and all values in them are below "
            f"{(int(highest) + 1) * 256:,}: they would be read as nearly black. Scale them to the whole range, or save "
            f"them with 8 bits"
        )


def _levels(fact: ImageFacts, white: WhiteLevels) -> float:
    """The deviation of an image's gray values, in levels of 255."""
    return fact.deviation if fact.mode in "LC" else fact.deviation * 255 / white.of(fact.mode)


def _key(files: ImageFiles, index: int) -> bytes | None:
    try:
        return files.key(index)
    except OSError:  # reading the file gives the reason
        return None


def _check(files: ImageFiles, index: int, resolutions: Sequence[Resolution] = ()) -> _Decoded | BadData:
    try:
        content, name = files.content(index), files.name(index)
        measured, pixels = opened(BytesIO(content), name, partial(_measure, resolutions=resolutions))
        if resolutions and not pixels and measured.mode == "L":  # a JPEG file that was not read at its full size
            pixels = opened(BytesIO(content), name, lambda image: _pixels(shown(image, WhiteLevels()), resolutions))
    except BadData as problem:
        return problem
    return _Decoded(replace(measured, digest=content_digest(content)), pixels)


def _measure(image: Image.Image, resolutions: Sequence[Resolution]) -> tuple[ImageFacts, Pixels]:
    """The facts without the digest of the file, and its pixels where they are read at full size and from 8 bits."""
    if is_deep(image):
        values = deep_values(image)
        return ImageFacts(b"", _digest(values), image.mode[0], float(values.max()), float(values.std())), {}
    if is_deep_color(image):
        upright = shown(image, WhiteLevels())
        pixels = np.asarray(upright)
        facts = ImageFacts(b"", _digest(pixels), "C", float(pixels.max()), float(pixels.std()))
        return facts, _pixels(upright, resolutions)
    # JPEG: an eighth of the size, which reads the whole file in half the time
    reduced = max(image.size) > DRAFT_PX and image.draft("L", (1, 1)) is not None
    upright = shown(image, WhiteLevels())
    gray = upright.convert("L")
    facts = ImageFacts(b"", _digest(np.asarray(gray)), "L", 255.0, ImageStat.Stat(gray).stddev[0])
    return facts, {} if reduced else _pixels(upright, resolutions)


def _pixels(image: Image.Image, resolutions: Sequence[Resolution]) -> Pixels:
    return {resolution: resolution.pixels(image) for resolution in resolutions}


def _digest(pixels: np.ndarray[tuple[int, ...], Any]) -> bytes:
    return content_digest(repr(pixels.shape).encode() + pixels.tobytes())
