"""Wilson's interval, against published values."""

import pytest

from toolchain.training.accuracy_interval import accuracy_text, interval_fields, wilson


@pytest.mark.parametrize(
    ("accuracy", "images", "low", "high"),
    [
        (81 / 263, 263, 0.2553, 0.3662),  # Newcombe 1998, Table I, method 3 (score without continuity correction)
        (15 / 148, 148, 0.0624, 0.1605),
        (0.0, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(accuracy: float, images: int, low: float, high: float) -> None:
    assert wilson(accuracy, images) == pytest.approx((low, high), abs=5e-5)  # the table has four digits


def test_text_and_json() -> None:
    assert accuracy_text(0.5, 1000) == "50.00% (46.9% to 53.1% on 1,000 images)"
    fields = interval_fields("test", 1.0, 10)
    assert fields["test_images"] == 10
    assert fields["test_accuracy_interval"] == pytest.approx([0.7225, 1.0], abs=5e-5)
