"""Image files become 8-bit pixels as a viewer shows them, in training and in the shipped example alike."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toolchain.errors import BadData
from toolchain.training.decode import DEFAULT_WHITE, WhiteLevels, decode, white_level

GRADIENT = np.linspace(0, 1, 16 * 16).reshape(16, 16)


def file_of(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(content: bytes, channels: int = 3, white: WhiteLevels = DEFAULT_WHITE) -> Any:
    return np.asarray(decode(content, "image", channels, white))


@pytest.mark.parametrize(
    ("orientation", "corner"),  # where the red pixel of the file's top left corner is shown
    [(1, (0, 0)), (2, (0, 1)), (3, (2, 1)), (4, (2, 0)), (5, (0, 0)), (6, (0, 2)), (7, (1, 2)), (8, (1, 0))],
)
def test_the_exif_orientation_is_applied(orientation: int, corner: tuple[int, int]) -> None:
    image = Image.new("RGB", (2, 3), "white")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (decoded,) = np.argwhere(pixels(file_of(image, exif=exif))[..., 1] == 0)
    assert tuple(decoded) == corner


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("RGBA", (200, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 0, 0, 255), (200, 0, 0)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (10, 0), (255, 255, 255)),
        ("LA", (10, 255), (10, 10, 10)),
    ],
)
def test_transparent_pixels_are_shown_on_white(mode: str, color: Any, expected: Any) -> None:
    assert pixels(file_of(Image.new(mode, (2, 2), color)))[0, 0].tolist() == list(expected)


def test_a_transparent_palette_color_is_shown_on_white() -> None:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    assert pixels(file_of(image))[0, 0].tolist() == [200, 0, 0]
    assert pixels(file_of(image, transparency=1))[0, 0].tolist() == [255, 255, 255]
    assert pixels(file_of(image, "GIF", transparency=1))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("mode", "expected"), [("CMYK", [0, 255, 0]), ("1", [255, 255, 255])])
def test_other_modes_become_rgb(mode: str, expected: list[int]) -> None:
    color: Any = {"CMYK": (255, 0, 255, 0), "1": 1}[mode]
    assert pixels(file_of(Image.new(mode, (2, 2), color), "TIFF"))[0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "white"),
    [
        ((GRADIENT * 4095).astype(np.uint16), WhiteLevels(integer=4095)),
        ((GRADIENT * 65535).astype(np.uint16), DEFAULT_WHITE),
        ((GRADIENT * 4095).astype(np.int32), WhiteLevels(integer=4095)),
        (GRADIENT.astype(np.float32), DEFAULT_WHITE),
        ((GRADIENT * 255).astype(np.float32), WhiteLevels(real=255)),
    ],
    ids=["12 bits in 16", "16 bits", "32-bit integers", "floats of 0 to 1", "floats of 0 to 255"],
)
def test_images_of_more_than_8_bits_are_scaled_to_their_white_level(values: Any, white: WhiteLevels) -> None:
    decoded = pixels(file_of(Image.fromarray(values), "TIFF"), channels=1, white=white)
    assert np.abs(decoded - GRADIENT * 255).max() <= 1
    assert (decoded.min(), decoded.max()) == (0, 255)


@pytest.mark.parametrize(
    ("highest", "mode", "white"),
    [
        (0, "I", 255), (255, "I", 255), (256, "I", 511), (3001, "I", 4095), (4095, "I", 4095), (4096, "I", 8191),
        (65535, "I", 65535), (65536, "I", 131071), (0.7, "F", 1), (1.0, "F", 1), (1.5, "F", 255), (255.0, "F", 255),
    ],
)  # fmt: skip
def test_the_white_level_is_the_largest_value_of_a_number_of_bits(highest: float, mode: str, white: float) -> None:
    assert white_level(highest, mode) == white


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((4, 4), -1000, np.int32), "pixel values below 0 or above 2,147,483,647. Save it with 8 or 16"),
        (np.full((4, 4), np.nan, np.float32), "pixel values that are not finite"),
    ],
)
def test_pixel_values_without_a_scale_are_refused(values: Any, words: str) -> None:
    with pytest.raises(BadData, match=words):
        pixels(file_of(Image.fromarray(values), "TIFF"))


def test_8_bits_with_sign_are_refused() -> None:
    def signed(value: int) -> bytes:  # Pillow marks a file as signed, and reads 8 bits as unsigned
        return file_of(Image.new("L", (2, 2), value), "TIFF", tiffinfo={339: 2})

    assert pixels(signed(100)).max() == 100
    with pytest.raises(BadData, match=r"cannot read the image image: it has pixel values below 0\. Save it with"):
        pixels(signed(255))


def test_a_file_that_is_no_image_is_refused_in_plain_words() -> None:
    with pytest.raises(BadData, match=r"cannot read the image a\.png: not an image that Pillow knows\. Repair or"):
        decode(b"404 not found", "a.png", 3, DEFAULT_WHITE)


def test_a_data_set_of_12_bits_is_not_black(two_classes: Path, load_pair: Any, notes: Any) -> None:
    for number, path in enumerate(sorted(two_classes.rglob("*.png"))):
        values = np.random.default_rng(number).integers(0, 3000, (20, 20), np.uint16)
        Image.fromarray(values).save(path)
    data = load_pair(two_classes)
    assert data.train.white == WhiteLevels(integer=4095)
    assert data.test.white == data.train.white
    assert data.train.fetch([0]).float().mean() == pytest.approx(1500 / 4095 * 255, rel=0.1)
    assert f"{two_classes}/train: 8 of 8 images hold integers of more than 8 bits, 4095 is white" in notes.lines
    assert not [line for line in notes.lines if "contrast" in line]


def test_images_with_almost_no_contrast_are_reported(two_classes: Path, load_pair: Any, notes: Any) -> None:
    for number, path in enumerate(sorted((two_classes / "train" / "a").iterdir())):
        values = np.random.default_rng(number).integers(0, 2, (20, 20), np.uint8)  # 0 to 1 saved with 8 bits
        Image.fromarray(values).save(path)
    load_pair(two_classes)
    (line,) = notes.lines
    assert line.startswith(f"warning: {two_classes}/train: 4 of 8 images have almost no contrast")


def png_of_16_bits(values: Any) -> bytes:
    """RGB with 16 bits per color, which Pillow reads and does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [12, 16])
def test_colors_of_12_bits_in_16_are_refused(two_classes: Path, load_pair: Any, bits: int) -> None:
    for number, path in enumerate(sorted(two_classes.rglob("*.png"))):
        values = np.random.default_rng(number).integers(0, 2**bits, (20, 20, 3))
        path.write_bytes(png_of_16_bits(values))
    if bits == 16:
        assert load_pair(two_classes).train.fetch([0]).float().mean() == pytest.approx(127.5, rel=0.1)
        return
    with pytest.raises(
        BadData, match=r"train: 8 of 8 images have 16 bits per color, and all values in them are below 4,096: they"
    ):
        load_pair(two_classes)


def test_a_deep_tiff_file_in_which_0_is_white_is_refused() -> None:
    deep = Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000)
    content = file_of(deep, "TIFF", tiffinfo={262: 0})
    with pytest.raises(BadData, match=r"0 is white in it \(TIFF WhiteIsZero\)"):
        pixels(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            r"it is a Git LFS pointer, not an image\. Run git lfs pull",
        ),
        (b"\n<!DOCTYPE html>", r"it is a web page \(HTML\), not an image: the download gave a page"),
    ],
)
def test_what_stands_in_for_an_image_is_named(content: bytes, words: str) -> None:
    with pytest.raises(BadData, match=rf"cannot read the image a\.png: {words}"):
        decode(content, "a.png", 3, DEFAULT_WHITE)
