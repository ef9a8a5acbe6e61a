"""Image files of any size and mode become uint8 batches of one size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toolchain.errors import BadData
from toolchain.training.images import FolderImages, MemoryImages
from toolchain.training.recipe import Augmentation

RED = (200, 30, 10)


def folder_images(paths: list[Path], channels: int = 3, size_px: int = 14) -> FolderImages:
    return FolderImages(tuple(paths), torch.zeros(len(paths), dtype=torch.long), channels, size_px)


def saved(path: Path, mode: str, size: tuple[int, int] = (41, 23)) -> Path:
    """A red image in that mode (gray where the mode has no colors)."""
    image = Image.new("RGB", size, RED)
    converted = image.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else image.convert(mode)
    converted.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "RGB"), ("a.png", "RGBA"), ("a.png", "P"), ("a.jpg", "RGB"), ("a.jpg", "CMYK"), ("a.webp", "RGB"),
     ("a.bmp", "RGB"), ("a.tif", "CMYK")],
)  # fmt: skip
def test_colors_of_every_mode(tmp_path: Path, name: str, mode: str) -> None:
    pixels = folder_images([saved(tmp_path / name, mode)]).fetch([0])
    assert pixels.shape == (1, 3, 14, 14)
    assert pixels.dtype == torch.uint8
    # JPEG and webp round colors by a few levels
    expected = torch.tensor(RED).view(1, 3, 1, 1).expand(1, 3, 14, 14).float()
    torch.testing.assert_close(pixels.float(), expected, atol=6, rtol=0)


@pytest.mark.parametrize(("name", "mode"), [("a.png", "L"), ("a.png", "LA"), ("a.jpg", "L"), ("a.pgm", "L")])
def test_gray_files_get_three_equal_channels(tmp_path: Path, name: str, mode: str) -> None:
    pixels = folder_images([saved(tmp_path / name, mode)]).fetch([0])
    # 0.299 * 200 + 0.587 * 30 + 0.114 * 10 by ITU-R 601, which PIL takes
    torch.testing.assert_close(pixels.float(), torch.full((1, 3, 14, 14), 78.55), atol=2, rtol=0)


def test_colors_become_gray_for_a_gray_space(tmp_path: Path) -> None:
    pixels = folder_images([saved(tmp_path / "a.png", "RGB")], channels=1).fetch([0])
    torch.testing.assert_close(pixels.float(), torch.full((1, 1, 14, 14), 78.55), atol=2, rtol=0)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_gray_values_of_16_bits_are_scaled_not_cut_off(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.full((20, 20), 0x4080, np.uint16)).save(tmp_path / name)
    assert folder_images([tmp_path / name]).fetch([0]).unique().tolist() == [0x40]


def test_bilevel_files(tmp_path: Path) -> None:
    Image.new("1", (20, 20), 1).save(tmp_path / "a.png")
    assert folder_images([tmp_path / "a.png"]).fetch([0]).unique().tolist() == [255]


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (300, 7), (14, 14), (15, 16), (97, 301)])
def test_odd_sizes_in_one_batch(tmp_path: Path, size: tuple[int, int]) -> None:
    images = folder_images([saved(tmp_path / "a.png", "RGB", size), saved(tmp_path / "b.png", "RGB", (50, 50))])
    assert images.fetch([0, 1]).shape == (2, 3, 14, 14)
    for augmentation in (Augmentation(random_resized_crop=True), Augmentation(crop_padding=2), Augmentation()):
        assert images.fetch_augmented([0, 1], augmentation, [1, 2]).shape == (2, 3, 14, 14)


def test_evaluation_takes_the_centre_of_the_resized_image(tmp_path: Path) -> None:
    """224 px from a short side of 256, as on ImageNet: of 7 of 8 parts in the middle nothing else is seen."""
    pixels = np.zeros((256, 512, 3), np.uint8)
    pixels[16:-16, 144:-144] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert folder_images([tmp_path / "a.png"], size_px=224).fetch([0]).unique().tolist() == [255]
    smaller = folder_images([tmp_path / "a.png"], size_px=112).fetch([0]).float()
    assert smaller[:, :, 2:-2, 2:-2].min() == 255  # the resizing blurs the border


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(BadData, match=r"cannot read the image .*a\.png: "):
        folder_images([tmp_path / "a.png"]).fetch([0])


def test_images_in_memory_get_the_size_and_channels_of_a_space() -> None:
    pixels = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8)
    images = MemoryImages.resized(pixels, torch.tensor([3]), channels=3, size_px=16)
    fetched = images.fetch([0])
    assert fetched.shape == (1, 3, 16, 16)
    assert fetched.dtype == torch.uint8
    assert torch.equal(fetched[:, 0], fetched[:, 2])
    same = MemoryImages.resized(pixels, torch.tensor([3]), channels=1, size_px=8)
    assert torch.equal(same.fetch([0]), pixels)
