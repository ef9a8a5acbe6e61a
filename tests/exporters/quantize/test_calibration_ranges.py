"""Clipping levels have the least squared error, are shared in groups, and do not depend on batches."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from exporters.quantize.calibration_ranges import BATCH, clipping_levels


def model() -> onnx.ModelProto:
    """`images` -> its ReLU -> twice that."""
    nodes = [
        helper.make_node("Relu", ["images"], ["relu"]),
        helper.make_node("Add", ["relu", "relu"], ["twice"]),
        helper.make_node("Identity", ["twice"], ["logits"]),
    ]
    shape = ["batch", 1, 8, 8]
    graph = helper.make_graph(
        nodes,
        "ranges",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 1, 8, 8), dtype=np.float32)


def levels(groups: dict[str, list[str]], pictures: np.ndarray, codes: int = 127) -> dict[str, float]:
    return clipping_levels(model(), groups, pictures, codes)


def test_the_level_has_the_least_squared_error() -> None:
    pictures = images(64)
    for codes in (7, 127):
        level = levels({"x": ["images"]}, pictures, codes)["x"]
        largest = np.abs(pictures).max()

        def error(level: float, codes: int = codes) -> float:
            step = level / codes
            rounded = np.rint(pictures / step).clip(-codes, codes) * step
            return float(((pictures - rounded) ** 2).mean())

        best = min(error(share * largest) for share in np.linspace(0.3, 1, 64))
        assert error(level) <= best * 1.01  # the search sees a histogram of 2048 bins
        assert level <= largest * 1.0001


def test_few_codes_clip_more_than_many() -> None:
    pictures = images(64)
    assert levels({"x": ["images"]}, pictures, 7)["x"] < 0.8 * levels({"x": ["images"]}, pictures, 127)["x"]


def test_one_outlier_is_clipped() -> None:
    pictures = images(64)
    pictures[0, 0, 0, 0] = 3 * np.abs(pictures).max()
    assert levels({"x": ["images"]}, pictures, 15)["x"] < 0.5 * np.abs(pictures).max()


def test_a_group_has_one_level_for_all_its_members() -> None:
    pictures = images(16)
    alone = levels({"relu": ["relu"], "twice": ["twice"]}, pictures)
    assert alone["twice"] == pytest.approx(2 * alone["relu"], rel=0.02)
    together = levels({"both": ["relu", "twice"]}, pictures)
    assert alone["relu"] < together["both"] <= alone["twice"] * 1.02


@pytest.mark.parametrize("count", [1, BATCH, BATCH + 3])
def test_any_number_of_images(count: int) -> None:
    assert 0 < levels({"x": ["images"]}, images(count))["x"] <= np.abs(images(count)).max() * 1.0001


def test_a_tensor_of_zeros_has_a_positive_level() -> None:
    assert 0 < levels({"relu": ["relu"]}, -np.ones((2, 1, 8, 8), np.float32))["relu"] <= 1e-6
