"""Images that are kept and images that are read anew are the same ones in the same batches."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from toolchain.errors import BadData
from toolchain.search.batches import Batches, shuffled
from toolchain.training.data import Data
from toolchain.training.images import FolderImages

BYTES = 1 * 8 * 8


@pytest.fixture
def files(tmp_path: Path) -> FolderImages:
    paths = tuple(tmp_path / f"{grey}.png" for grey in range(20))
    for grey, path in enumerate(paths):
        Image.new("L", (10, 10), grey).save(path)
    return FolderImages(paths, torch.arange(20), channels=1, size_px=8)


def content(batches: Batches, done: int = 0) -> list[tuple[list[int], list[int]]]:
    return [(pixels[:, 0, 0, 0].tolist(), labels.tolist()) for pixels, labels in batches.after(done)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("most_bytes", [0, 12 * BYTES])
def test_batches_are_the_chosen_images_in_order(files: FolderImages, workers: int, most_bytes: int) -> None:
    batches = Batches(files, tuple(range(4, 16)), 5, workers, most_bytes)
    expected = [(list(part), list(part)) for part in (range(4, 9), range(9, 14), range(14, 16))]
    assert content(batches) == content(batches) == expected
    assert content(batches, 2) == expected[2:]
    assert content(batches, 3) == []
    assert (len(batches), batches.images) == (3, 12)


def test_more_than_allowed_is_not_kept(files: FolderImages) -> None:
    kept = Batches(files, tuple(range(12)), 5, 0, 12 * BYTES)
    streamed = Batches(files, tuple(range(12)), 5, 0, 12 * BYTES - 1)
    expected = content(kept)
    assert content(streamed) == expected
    for path in files.paths:
        path.unlink()
    assert content(kept) == expected  # from memory
    with pytest.raises(BadData):
        content(streamed)


@pytest.mark.parametrize("most_bytes", [0, 2**20])
@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(files: FolderImages, workers: int, most_bytes: int) -> None:
    files.paths[7].write_bytes(b"no image")
    with pytest.raises(BadData, match=r"7\.png"):
        list(Batches(files, tuple(range(20)), 5, workers, most_bytes).after(0))


def test_nothing_is_drawn_from_the_global_generator(digits: Data) -> None:
    before = torch.get_rng_state()
    list(Batches(digits.train, digits.holdout, 64, 0, 0).after(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_shuffled_is_the_same_images_in_an_order_that_the_seed_draws() -> None:
    indices = tuple(range(100))
    assert sorted(shuffled(indices, 1)) == list(indices) != list(shuffled(indices, 1))
    assert shuffled(indices, 1) == shuffled(indices, 1) != shuffled(indices, 2)
