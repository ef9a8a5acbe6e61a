"""Arrays in a message keep their shapes and values."""

import numpy as np
import pytest

from exporters.agent.arrays import pack, unpack


def test_arrays_are_unpacked_as_they_were_packed() -> None:
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T
    shapes, content = pack({"x": turned, "y": np.float32([7]), "none": np.zeros((0, 2), np.float32)})
    assert shapes == {"x": [3, 2], "y": [1], "none": [0, 2]}
    assert len(content) == 4 * 7
    arrays = unpack(shapes, content)
    np.testing.assert_array_equal(arrays["x"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(arrays["y"], [7])
    assert arrays["none"].shape == (0, 2)


def test_bytes_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="reshape"):
        unpack({"x": [2, 3]}, b"1234")
