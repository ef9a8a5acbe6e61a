"""How long finalists are trained, and which candidates may take part."""

import pytest

from toolchain.costs.calibration import Calibration
from toolchain.measuring.network import Measurement
from toolchain.search.candidate import Candidate
from toolchain.search.finalists.decide import enough_epochs, keeps_margin
from toolchain.search.strategies import Scored
from toolchain.spaces.core import Architecture
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


@pytest.mark.parametrize(
    ("predicted_ms", "measured_ms", "expected"),
    [
        (0.98, 0.999, True),  # predicted at most 0.9996 ms
        (0.98, 1.001, False),  # measured over the limit
        (0.99, 0.99, False),  # predicted at most 1.0098 ms, and 0.99 ms may be 1.0098 ms in another process
        (0.99, 0.98, True),
    ],
)
def test_the_prediction_or_the_measurement_keeps_the_margin(
    predicted_ms: float, measured_ms: float, expected: bool
) -> None:
    scored = Scored(Architecture("s", ("a",)), 0.5, 0, "simple")
    calibration = Calibration(1.0, 0.0, 0.02, 0.95, 12)
    measured = Measurement(measured_ms, measured_ms)
    assert keeps_margin(Candidate(scored, predicted_ms, calibration, measured), 1.0) is expected
