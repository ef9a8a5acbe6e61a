"""Images that look like masks of the photos they lie beside: nothing but their names tells them apart."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

MASK_WORDS = "mask|masks|seg|segmentation|segmentations|label|labels|gt|annotation|annotations|matte|trimap|depth"
MASK_STEM = re.compile(rf"(.+)[._ -](?:{MASK_WORDS})", re.IGNORECASE)
MASK_FOLDER = re.compile(rf"(?:{MASK_WORDS}|ground[._ -]?truth)", re.IGNORECASE)
SHARE = 0.05  # single images with such names are no reason for a warning


def second_images(paths: Sequence[Path]) -> Iterator[tuple[Path, Path | None]]:
    """Images that look like a mask, with the image that they belong to: `0_mask.png` and `0.png` beside `0.jpg`.

    Args:
        paths: relative to the folder of all classes.
    """
    first: dict[Path, Path] = {}
    for path in sorted(paths, key=_photos_first):
        stem = path.with_suffix("")
        match = MASK_STEM.fullmatch(stem.name)
        photo = first.get(stem.with_name(match[1])) if match else first.get(stem)
        if photo is not None or any(MASK_FOLDER.fullmatch(part) for part in path.parts[1:-1]):
            yield path, photo
        else:
            first.setdefault(stem, path)


def _photos_first(path: Path) -> tuple[bool, bool, Path]:
    """JPEG files before others: a mask is saved without loss."""
    return bool(MASK_STEM.fullmatch(path.stem)), path.suffix.lower() not in {".jpg", ".jpeg"}, path
