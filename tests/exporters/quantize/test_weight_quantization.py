"""Integer weights and biases lie on their grid, within range, and as close as possible to the floats."""

import numpy as np
import pytest

from exporters.quantize.weight_quantization import MAX_BIAS_CODE, quantize_weights, refine_codes

X_SCALE = np.float32(0.13)


def drawn(*shape: int, scale: float = 0.05) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal(shape) * scale).astype(np.float32)


@pytest.mark.parametrize("most", [63, 127])
def test_weights_are_rounded_to_the_nearest_code_of_their_channel(most: int) -> None:
    weight, bias = drawn(6, 4, 3, 3), drawn(6)
    codes, scale, _ = quantize_weights(weight, bias, X_SCALE, most)
    assert np.abs(codes.reshape(6, -1)).max(1).tolist() == [most] * 6
    # half a step, and float32's rounding of it
    assert (np.abs(codes * scale[:, None, None, None] - weight) <= scale[:, None, None, None] * 0.5001).all()


@pytest.mark.parametrize("largest", [1, 3, 7, 15])
def test_finer_codes_are_the_same_weights(largest: int) -> None:
    codes = np.random.default_rng(0).integers(-largest, largest + 1, (5, 3, 3, 3)).astype(np.int8)
    codes[:, 0, 0, 0] = largest
    scale, bias = np.full(5, 0.01, np.float32), drawn(5)
    finer, finer_scale, on_grid = refine_codes(codes, scale, bias, X_SCALE)
    times = 127 // largest
    assert np.array_equal(finer, codes * times)
    np.testing.assert_allclose(finer_scale * times, scale, rtol=1e-6)
    assert np.abs(on_grid - bias).max() <= (X_SCALE * finer_scale).max() * 0.5001


def test_a_runtime_rounds_biases_to_their_own_codes() -> None:
    """ONNX Runtime divides the float32 bias by x_scale * w_scale; no bias may land between two codes."""
    rng = np.random.default_rng(0)
    bias = (rng.standard_normal(20_000) * 10.0 ** rng.uniform(-3, 3, 20_000)).astype(np.float32)
    weight = rng.standard_normal((20_000, 1, 1, 1)).astype(np.float32) * 0.05
    _, scale, on_grid = quantize_weights(weight, bias, X_SCALE, 127)
    codes = on_grid / (X_SCALE * scale)
    assert np.abs(codes - np.rint(codes)).max() < 0.3
    assert np.abs(codes).max() <= MAX_BIAS_CODE + 1


@pytest.mark.parametrize("weight", [0.0, 1e-30, 1e-9])
def test_a_channel_without_weights_keeps_its_bias(weight: float) -> None:
    bias = np.array([0.7, -0.7], np.float32)
    full = np.full((2, 1, 1, 1), weight, np.float32)
    for codes, scale, on_grid in (
        quantize_weights(full, bias, X_SCALE, 127),
        refine_codes(np.ones((2, 1, 1, 1), np.int8), full[:, 0, 0, 0], bias, X_SCALE),
    ):
        np.testing.assert_allclose(on_grid, bias, rtol=1e-6)
        np.testing.assert_allclose(codes[:, 0, 0, 0] * scale, weight, atol=scale.max())
        assert (scale > 0).all()


def test_zeros_have_positive_finite_scales() -> None:
    zeros = np.zeros((2, 1, 1, 1), np.float32)
    for codes, scale, bias in (
        quantize_weights(zeros, zeros[:, 0, 0, 0], X_SCALE, 127),
        refine_codes(zeros.astype(np.int8), zeros[:, 0, 0, 0], zeros[:, 0, 0, 0], X_SCALE),
    ):
        assert not codes.any()
        assert not bias.any()
        assert (scale > 0).all()
        assert np.isfinite(scale).all()
