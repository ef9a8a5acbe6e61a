"""How long finalists are trained."""

import pytest

from toolchain.search.finalists.decide import enough_epochs
from toolchain.training.recipe import Recipe


@pytest.mark.parametrize(
    ("epochs", "images", "expected"),
    [
        (0.5, 57_000, 0.5),  # 222 steps of 128 images
        (0.5, 25_600, 1.0),  # 100 steps become 200
        (0.5, 1_818, 5.0),  # 200 steps would be 14 epochs; retraining has five
        (8.0, 1_818, 8.0),  # longer than retraining, as the user says
    ],
)
def test_few_images_are_seen_more_often(epochs: float, images: int, expected: float) -> None:
    retrain = Recipe(epochs=5, batch=128, lr=0.1)
    assert enough_epochs(epochs, retrain, images) == pytest.approx(expected)
