"""Batches that depend on (seed, step) alone."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from toolchain.errors import BadData
from toolchain.training.batches import StepSampler, mix, training_batches
from toolchain.training.images import FolderImages, MemoryImages
from toolchain.training.recipe import Augmentation

INDICES = tuple(range(100, 123))


@given(batch=st.integers(1, 60), steps=st.integers(1, 12), start=st.integers(0, 12), seed=st.integers(0, 2**40))
def test_a_resumed_run_sees_the_same_batches(batch: int, steps: int, start: int, seed: int) -> None:
    start = min(start, steps)
    whole = list(StepSampler(INDICES, batch, seed, 0, steps))
    assert list(StepSampler(INDICES, batch, seed, start, steps)) == whole[start:]
    assert len(StepSampler(INDICES, batch, seed, start, steps)) == steps - start
    assert all(len(positions) == batch for positions in whole)


@given(batch=st.integers(1, 60), seed=st.integers(0, 1000))
def test_every_image_is_served_once_a_pass(batch: int, seed: int) -> None:
    passes = 3
    steps = -(-passes * len(INDICES) // batch)
    served = [position for positions in StepSampler(INDICES, batch, seed, 0, steps) for position in positions]
    assert [number for number, _ in served] == list(range(steps * batch))
    for start in range(0, passes * len(INDICES), len(INDICES)):
        assert Counter(index for _, index in served[start : start + len(INDICES)]) == Counter(INDICES)


def order(seed: int, steps: int) -> list[list[int]]:
    return [[index for _, index in positions] for positions in StepSampler(INDICES, 23, seed, 0, steps)]


def test_each_pass_and_each_seed_has_its_own_order() -> None:
    first, second = order(0, 2)
    assert first != second
    assert order(1, 1)[0] not in (first, second)
    assert order(0, 2) == [first, second]


def test_neighbouring_numbers_give_unrelated_seeds() -> None:
    seeds = [mix(seed, number) for seed in range(100) for number in range(100)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    bits = [bin(mix(0, n) ^ mix(0, n + 1)).count("1") for n in range(1000)]
    # 63 bits that flip with probability 1/2: the mean of 1000 is 31.5 with a standard error of 0.13
    assert sum(bits) / len(bits) == pytest.approx(31.5, abs=0.6)


def memory_images() -> MemoryImages:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (len(INDICES) + 100, 3, 12, 12), dtype=torch.uint8, generator=generator)
    return MemoryImages(pixels, torch.arange(len(pixels)))


CHANGES = Augmentation(crop_padding=2, color_jitter=0.4, flip=True)


def test_augmentation_comes_from_the_seed_and_the_image_served(tmp_path: Path) -> None:
    images = memory_images()
    whole = list(training_batches(images, StepSampler(INDICES, 5, 3, 0, 8), CHANGES, workers=0))
    torch.manual_seed(77)  # whatever was drawn before
    tail = list(training_batches(images, StepSampler(INDICES, 5, 3, 4, 8), CHANGES, workers=0))
    assert all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(whole[4:], tail, strict=True))
    other_seed = next(training_batches(images, StepSampler(INDICES, 5, 4, 0, 8), CHANGES, workers=0))
    assert not torch.equal(other_seed[0], whole[0][0])
    pixels, labels = whole[0]
    assert pixels.shape == (5, 3, 12, 12)
    assert pixels.dtype == torch.uint8
    assert not torch.equal(pixels, images.fetch(labels.tolist()))


def test_each_pass_changes_an_image_in_another_way() -> None:
    first, second = training_batches(memory_images(), StepSampler(INDICES, 23, 3, 0, 2), CHANGES, workers=0)
    by_label = dict(zip(second[1].tolist(), second[0], strict=True))
    assert not any(
        torch.equal(by_label[label], image) for label, image in zip(first[1].tolist(), first[0], strict=True)
    )


def test_augmentation_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    memory_images().fetch_augmented([0, 1], CHANGES, [8, 9])
    assert torch.equal(torch.get_rng_state(), before)


def test_without_augmentation_images_come_as_they_are() -> None:
    images = memory_images()
    pixels, labels = next(training_batches(images, StepSampler(INDICES, 5, 3, 0, 1), Augmentation(), workers=0))
    assert torch.equal(pixels, images.pixels[labels])


@pytest.fixture
def files(tmp_path: Path) -> FolderImages:
    paths = []
    for number in range(12):
        paths.append(tmp_path / f"{number}.png")
        Image.effect_noise((30 + number, 24), 80).convert("RGB").save(paths[-1])
    return FolderImages(tuple(paths), torch.arange(12), channels=3, size_px=16)


def test_helper_processes_change_nothing(files: FolderImages) -> None:
    crop = Augmentation(random_resized_crop=True, color_jitter=0.4, flip=True)
    sampler = StepSampler(tuple(range(12)), 4, 0, 1, 5)
    alone, helped = (list(training_batches(files, sampler, crop, workers)) for workers in (0, 2))
    assert len(alone) == 4
    assert all(torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(alone, helped, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_file_is_named_by_helpers_too(files: FolderImages, workers: int) -> None:
    files.paths[7].write_bytes(files.paths[7].read_bytes()[:100])
    sampler = StepSampler(tuple(range(12)), 4, 0, 0, 3)
    with pytest.raises(BadData, match=r"cannot read the image .*/7\.png: .* Repair or remove that file"):
        list(training_batches(files, sampler, Augmentation(), workers))
