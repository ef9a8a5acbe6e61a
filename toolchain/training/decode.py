"""From an image file to 8-bit pixels: upright, on white, gray or RGB. templates/predict.py does the same."""

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image, ImageOps

from exporters.errors import first_line
from exporters.placeholders import HEAD_BYTES, placeholder
from toolchain.errors import BadData
from toolchain.training.printable import printable

REPAIR = ". Repair or remove that file"  # end of the message about a file
DECODING = 1  # part of the data's fingerprint: raise it when the same files give other pixels


@dataclass(frozen=True)
class WhiteLevels:
    """The pixel value that is white, in images of more than 8 bits: 4095 where a camera gives 12."""

    integer: float = 65535.0
    real: float = 1.0

    def of(self, mode: str) -> float:
        return self.real if mode == "F" else self.integer


DEFAULT_WHITE = WhiteLevels()
TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
TIFF_SAMPLE_FORMAT, SIGNED = 339, 2
T = TypeVar("T")


def decode(content: bytes, name: str, channels: int, white: WhiteLevels) -> Image.Image:
    """The image in a file as a viewer shows it: 8 bits, gray for one channel and RGB for three.

    Raises:
        BadData: it is damaged or no image; `name` is in the message.
    """
    mode = "L" if channels == 1 else "RGB"
    return opened(BytesIO(content), name, lambda image: shown(image, white).convert(mode))


def opened(file: BinaryIO, name: str, use: Callable[[Image.Image], T]) -> T:
    """The result of `use` for an image file, of which only the header is read before.

    Raises:
        BadData: it is damaged or no image. Pillow documents no set of errors for damaged files.
        OSError: the file cannot be read at all.
    """
    if text := placeholder(file.read(HEAD_BYTES), "an image"):
        raise BadData(f"cannot read the image {printable(name)}: it {text}")
    file.seek(0)
    silence_pillow()
    try:
        with Image.open(file) as image:
            _require_black_is_zero(image)
            return use(image)
    except Exception as problem:  # see Raises
        raise unreadable(name, problem) from None


def silence_pillow() -> None:
    """No warnings of Pillow on stderr: on images of half its limit of 179 megapixels, on tags, on palettes."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def shown(image: Image.Image, white: WhiteLevels) -> Image.Image:
    """8 bits, upright by the EXIF orientation, transparent pixels on white.

    Raises:
        ValueError: pixel values below 0 or not finite.
    """
    _require_no_sign(image)
    image = ImageOps.exif_transpose(image)
    if is_deep(image):
        levels = deep_values(image) * (255 / white.of(image.mode))
        return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


def is_deep_color(image: Image.Image) -> bool:
    """Whether a color image, as opened, has 16 bits in its file, of which Pillow keeps the upper 8."""
    return not is_deep(image) and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def is_deep(image: Image.Image) -> bool:
    """Whether its pixels have more than 8 bits: modes I, I;16, I;16B, F."""
    return image.mode[0] in "IF"


def deep_values(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The pixels of an image of more than 8 bits.

    Raises:
        ValueError: values below 0 or not finite, of which nothing says which is black.
    """
    values = np.asarray(image, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it has pixel values that are not finite")
    if values.min() < 0:
        raise ValueError("it has pixel values below 0 or above 2,147,483,647. Save it with 8 or 16 bits without sign")
    return values


def _require_black_is_zero(image: Image.Image) -> None:
    """Refuse inverted pixels that Pillow does not invert.

    Raises:
        ValueError: a TIFF file of more than 8 bits in which 0 is white.
    """
    if is_deep(image) and getattr(image, "tag_v2", {}).get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:
        raise ValueError("0 is white in it (TIFF WhiteIsZero), which is read for 8 bits only. Save it as BlackIsZero")


def _require_no_sign(image: Image.Image) -> None:
    """Refuse 8 bits with sign, which Pillow reads as without: -1 as 255.

    Raises:
        ValueError: a TIFF file of 8 bits with values below 0.
    """
    formats = getattr(image, "tag_v2", {}).get(TIFF_SAMPLE_FORMAT, ())
    if image.mode == "L" and SIGNED in formats and np.asarray(image).max() > 127:
        raise ValueError("it has pixel values below 0. Save it with 8 or 16 bits without sign")


def white_level(highest: float, mode: str) -> float:
    """The white level of images whose largest pixel value is `highest`: 1, or the largest of a number of bits."""
    if mode == "F" and highest <= 1:
        return 1.0
    return 2.0 ** max(8, math.ceil(math.log2(highest + 1))) - 1


def unreadable(name: str, problem: Exception) -> BadData:
    """The error for one file that is no readable image."""
    return BadData(f"cannot read the image {printable(name)}: {reason(problem)}{REPAIR}")


def reason(problem: Exception) -> str:
    """The first line of a library's error, or its type where it says nothing; without the address of a buffer."""
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    text = first_line(problem)
    if isinstance(problem, Image.DecompressionBombError) and (pixels := re.search(r"\d+", text)):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return f"it has {int(pixels[0]) / 1e6:.0f} megapixels, and at most {most / 1e6:.0f} are read"
    return "not an image that Pillow knows" if "cannot identify image file" in text else text
