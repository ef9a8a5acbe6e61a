"""The devices of this machine."""

import os

import pytest

from latency_db.devices import attached, find
from latency_db.errors import UnknownDevice


def test_this_machines_cpu_is_attached() -> None:
    cpu = find("cpu")
    assert cpu in attached()
    assert cpu.model
    assert 1 <= cpu.cores <= (os.cpu_count() or 1)


def test_an_unknown_device_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownDevice) as caught:
        find("jetson")
    assert "'jetson' is not attached" in str(caught.value)
    assert f"Attached: cpu ({find('cpu').model})" in str(caught.value)
    assert "--device cpu" in str(caught.value)
