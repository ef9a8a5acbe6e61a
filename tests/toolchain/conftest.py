"""A real data set for the tiny space."""

import pytest

from toolchain.spaces.core import SearchSpace
from toolchain.training.data import Data, load_data


@pytest.fixture(scope="session")
def digits(tiny_space: SearchSpace) -> Data:
    return load_data("digits", tiny_space, holdout_per_class=20, seed=0)
