"""Read the headers of image files before any file is decoded: all that they show is named within seconds."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from toolchain.errors import BadData
from toolchain.progress import Progress
from toolchain.training.cores import available_cores
from toolchain.training.decode import opened, unreadable

CHUNK = 1024  # files between two updates of progress
WITH_FRAMES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")  # an MPO photo has a preview as its second frame


@dataclass(frozen=True)
class Headers:
    """The messages of files that cannot be decoded by their header, and the files of several frames or pages."""

    problems: tuple[str, ...]
    with_frames: tuple[Path, ...]


def read_headers(paths: Sequence[Path], title: str, progress: Progress) -> Headers:
    """Judge files by size, mode and format, as decoding does first; pixels are not read."""
    problems: list[str] = []
    with_frames: list[Path] = []
    task = progress.start(f"read headers of {title}", len(paths))
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            for path, result in zip(chunk, pool.map(_read_header, chunk), strict=True):
                if isinstance(result, BadData):
                    problems.append(str(result))
                elif result:
                    with_frames.append(path)
            task.advance(len(chunk))
    return Headers(tuple(problems), tuple(with_frames))


def _read_header(path: Path) -> bool | BadData:
    """Whether the file has several frames."""
    try:
        with path.open("rb") as file:
            return opened(file, str(path), _has_frames)
    except BadData as problem:
        return problem
    except OSError as problem:
        return unreadable(str(path), problem)


def _has_frames(image: Image.Image) -> bool:
    with suppress(Exception):  # a second frame that is damaged is never decoded
        return image.format in WITH_FRAMES and bool(getattr(image, "is_animated", False))
    return False
