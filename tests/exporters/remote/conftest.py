"""A device that is a process of this machine, with Python's standard library alone."""

import sys

import pytest

PLAIN = f"cmd:{sys.executable} -S"  # without site-packages, so that it starts in 0.1 s


@pytest.fixture
def plain() -> str:
    return PLAIN
