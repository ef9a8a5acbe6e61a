"""Changes of a whole batch are torchvision's changes of each image."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from toolchain.training.augment import (
    CROP_DRAWS,
    ORDERS,
    augment,
    crop_boxes,
    draws,
    jittered,
    resized_crops,
    shifted,
)
from toolchain.training.batches import mix
from toolchain.training.recipe import Augmentation

ALL = Augmentation(random_resized_crop=True, color_jitter=0.4, flip=True)


def images(count: int = 6, channels: int = 3, size: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)


def seeds(count: int) -> list[int]:
    return [mix(5, number) for number in range(count)]


def test_numbers_are_uniform_and_of_each_seed_alone() -> None:
    many = torch.tensor(seeds(20_000))
    u = draws(many, 5)
    assert u.dtype == torch.float32
    assert 0 <= float(u.min()) < float(u.max()) < 1
    # 20,000 uniform numbers: standard error of the mean 0.002, of a correlation 0.007
    torch.testing.assert_close(u.mean(0), torch.full((5,), 0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(u.var(0), torch.full((5,), 1 / 12), atol=0.004, rtol=0)
    torch.testing.assert_close(torch.corrcoef(u.T), torch.eye(5), atol=0.035, rtol=0)
    assert torch.equal(draws(many[7:9], 5), u[7:9])
    assert torch.equal(draws(many, 2), u[:, :2])


def test_splitmix64_from_its_reference() -> None:
    """The first outputs of the published generator (Vigna, splitmix64.c) for the seed 1234567, shifted to 24 bits."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    result = draws(torch.tensor([1234567]), 4)[0]
    assert (result.double() * 2**24).long().tolist() == [number >> 40 for number in expected]


def test_an_image_does_not_depend_on_its_batch() -> None:
    x = images()
    whole = augment(x, ALL, seeds(6))
    assert torch.equal(torch.cat([augment(x[n : n + 1], ALL, [seeds(6)[n]]) for n in range(6)]), whole)
    assert whole.shape == x.shape
    assert whole.dtype == torch.uint8
    assert augment(x, Augmentation(), seeds(6)) is x


def test_crops_are_resized_as_torch_resizes_them() -> None:
    x = images(5, 3, 16)
    top, left, height, width = (
        torch.tensor(v) for v in ([0, 3, 5, 0, 15], [2, 0, 4, 0, 15], [9, 4, 11, 16, 1], [6, 12, 3, 16, 1])
    )
    result = resized_crops(x, top, left, height, width)
    for n in range(5):
        piece = x[n : n + 1, :, top[n] : top[n] + height[n], left[n] : left[n] + width[n]].float()
        expected = F.interpolate(piece, (16, 16), mode="bilinear", align_corners=False)
        torch.testing.assert_close(result[n : n + 1], expected, atol=1e-3, rtol=0)  # of 255, in float32


def test_boxes_have_the_distribution_of_torchvisions() -> None:
    count, size = 4000, 32
    top, left, height, width = crop_boxes(draws(torch.tensor(seeds(count)), CROP_DRAWS), size)
    assert bool((top >= 0).all() and (left >= 0).all())
    assert bool((top + height <= size).all() and (left + width <= size).all())
    torch.manual_seed(0)
    theirs = torch.tensor(
        [list(v2.RandomResizedCrop(size).make_params([images(1, 3, size)]).values()) for _ in range(count)]
    )
    for ours, other in zip((top, left, height, width), theirs.T, strict=True):
        # two samples of 4000: five standard errors of the difference of their means
        error = 5 * (float(other.float().var()) * 2 / count) ** 0.5
        assert float(ours.float().mean()) == pytest.approx(float(other.float().mean()), abs=error)
        assert float(ours.float().std()) == pytest.approx(float(other.float().std()), rel=0.08)


def test_a_shift_is_a_crop_of_the_padded_image() -> None:
    x = images(3)
    u = torch.tensor([[0.0, 0.0], [0.5, 0.99], [0.99, 0.2]])
    result = shifted(x, 2, u)
    padded = F.pad(x, (2, 2, 2, 2))
    for n, (top, left) in enumerate(((0, 0), (2, 4), (4, 1))):
        assert torch.equal(result[n], padded[n, :, top : top + 12, left : left + 12])


@pytest.mark.parametrize("order", range(len(ORDERS)))
@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_is_torchvisions_in_each_order(order: int, channels: int) -> None:
    x = images(4, channels).float()
    u = torch.rand(4, 4, generator=torch.Generator().manual_seed(order))
    u[:, 3] = (order + 0.5) / len(ORDERS)
    result = jittered(x, 0.4, u)
    ops = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation)
    for n in range(4):
        expected = x[n] / 255
        for op in ORDERS[order]:
            expected = ops[op](expected, 0.6 + 0.8 * float(u[n, op]))
        # of 255; torchvision's weights of colors have three digits or four
        torch.testing.assert_close(result[n] / 255, expected, atol=1e-3, rtol=0)


def test_half_of_the_images_are_flipped() -> None:
    x = images(1).expand(2000, -1, -1, -1)
    result = augment(x, Augmentation(flip=True), seeds(2000))
    flipped = (result == x.flip(3)).flatten(1).all(1)
    assert bool((flipped | (result == x).flatten(1).all(1)).all())
    assert 900 < int(flipped.sum()) < 1100  # 1000 +- 4.5 standard errors


@pytest.mark.parametrize("name", ["trivialaugment", "randaugment"])
@pytest.mark.parametrize("channels", [1, 3])
def test_automatic_augmentation_depends_on_the_seed_of_an_image_alone(name: str, channels: int) -> None:
    pixels, augmentation = images(channels=channels), Augmentation.model_validate({"auto_augment": name})
    state = torch.get_rng_state()
    whole = augment(pixels, augmentation, seeds(6))
    assert (whole.shape, whole.dtype) == (pixels.shape, torch.uint8)
    assert torch.equal(torch.get_rng_state(), state), "the state of the training is restored"
    assert not torch.equal(whole, pixels)
    for number in range(6):
        assert torch.equal(augment(pixels[number : number + 1], augmentation, [seeds(6)[number]])[0], whole[number])
