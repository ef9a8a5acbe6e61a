"""A real data set for the tiny space, and a stack that nothing was measured on."""

from dataclasses import fields

import pytest

from latency_db.context import Context
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import Data, load_data


@pytest.fixture(scope="session")
def digits(tiny_space: SearchSpace) -> Data:
    return load_data("digits", tiny_space, holdout_per_class=20, seed=0)


@pytest.fixture(scope="session")
def context() -> Context:
    blank = {field.name: 1 if field.type is int else field.name for field in fields(Context)}
    return Context.from_dict(blank | {"device_kind": "cpu", "batch": 8, "device_model": "Some CPU", "backend": "fake"})
