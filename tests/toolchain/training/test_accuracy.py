"""Top-1 accuracy, and the images that it and BN statistics come from."""

import torch
from torch import nn

from toolchain.training.accuracy import fixed_batches, recalibration_batches, top1
from toolchain.training.data import Data, Preprocessing


def test_top1_of_a_written_out_example() -> None:
    """Two pixels p, q and logits (p, q, 0) of p, q in -1..1: the brighter pixel wins, or class 2 if both are dark."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    pixels = torch.tensor([[255, 0], [200, 210], [10, 20], [0, 130], [140, 130]], dtype=torch.uint8).view(5, 1, 1, 2)
    labels = torch.tensor([0, 1, 2, 2, 1])  # right, right, right, wrong (1), wrong (0)
    half = Preprocessing(size_px=2, mean=(0.5,), std=(0.5,))
    for batch in (1, 2, 5):
        pieces = [(pixels[i : i + batch], labels[i : i + batch]) for i in range(0, 5, batch)]
        assert top1(net.train(), pieces, half) == 3 / 5
    assert not net.training


def test_fixed_batches_are_all_images_in_order(digits: Data) -> None:
    once, again = (list(fixed_batches(digits.train, digits.holdout, 64)) for _ in range(2))
    assert [len(labels) for _, labels in once] == [64, 64, 64, 8]
    assert torch.equal(torch.cat([labels for _, labels in once]), digits.train.labels[list(digits.holdout)])
    assert torch.equal(torch.cat([pixels for pixels, _ in once]), digits.train.fetch(digits.holdout))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(once, again, strict=True))


def rows(batches: list[torch.Tensor]) -> list[tuple[int, ...]]:
    return [tuple(image.flatten().tolist()) for batch in batches for image in batch]


def test_recalibration_images_are_training_images(digits: Data) -> None:
    drawn = rows(list(recalibration_batches(digits, images=300, batch=100, seed=0)))
    assert len(drawn) == len(set(drawn)) == 300
    assert set(drawn) <= set(rows([digits.train.fetch(digits.fit)]))
    assert drawn == rows(list(recalibration_batches(digits, images=300, batch=100, seed=0)))
    assert drawn != rows(list(recalibration_batches(digits, images=300, batch=100, seed=1)))


def test_each_recalibration_batch_is_whole_since_each_counts_the_same(digits: Data) -> None:
    def sizes(images: int, batch: int) -> list[int]:
        return [len(pixels) for pixels in recalibration_batches(digits, images, batch, seed=0)]

    assert sizes(301, 100) == [100] * 3
    assert sizes(30, 100) == [30]
    assert sizes(10**6, 250) == [250] * (len(digits.fit) // 250)
