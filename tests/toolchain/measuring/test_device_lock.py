"""One turn a device, and several always in the same order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from exporters.devices.attached import Device
from exporters.errors import DeviceMissing
from toolchain.config import ProfileConfig
from toolchain.measuring import device_lock
from toolchain.measuring.device_lock import device_locks
from toolchain.progress import Quiet

ALIASES = {"cpu": "a", "avx512": "a", "gpu": "b"}


def find(name: str) -> Device:
    if name not in ALIASES:
        raise DeviceMissing(name)
    return Device(name, "cpu", "", 1, uid=ALIASES[name])


@pytest.mark.parametrize("names", [("gpu", "cpu"), ("cpu", "gpu"), ("gpu", "avx512", "cpu", "away")])
def test_in_one_order_whatever_was_named_first(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    @contextmanager
    def lock(device: str, waiting: Callable[[str], None], wait_s: float) -> Iterator[None]:
        events.append(f"take {device}")
        yield
        events.append(f"give {device}")

    monkeypatch.setattr(device_lock, "find", find)
    monkeypatch.setattr(device_lock.locks, "on_this_machine", lock)
    with device_locks([ProfileConfig(device=name) for name in names], Quiet()):
        events.append("measure")
    assert events == ["take a", "take b", "measure", "give b", "give a"]
