"""One command at a time on a device, and locks of several devices in one order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from exporters.devices.attached import Device
from toolchain.measuring import device_lock
from toolchain.measuring.device_lock import device_locks
from toolchain.progress import Quiet

CPU, GPU = Device("cpu", "cpu", "", 1, uid="a"), Device("gpu", "gpu", "", 1, uid="b")


@pytest.mark.parametrize("devices", [(GPU, CPU), (CPU, GPU), (GPU, CPU, CPU, None)])
def test_locks_are_always_taken_in_the_same_order(
    devices: tuple[Device | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    @contextmanager
    def lock(device: str, waiting: Callable[[str], None], wait_s: float) -> Iterator[None]:
        events.append(f"take {device}")
        yield
        events.append(f"give {device}")

    monkeypatch.setattr(device_lock.locks, "on_this_machine", lock)
    with device_locks(devices, "latency.sqlite", Quiet()):
        events.append("measure")
    assert events == ["take a", "take b", "measure", "give b", "give a"]
