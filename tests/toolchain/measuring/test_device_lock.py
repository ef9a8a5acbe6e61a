"""One command at a time on a device, and locks of several devices in one order."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporters.agent.lock_file import LockFile, lock_path
from exporters.devices.attached import Device
from latency_db.errors import DeviceBusy
from latency_db.locks import lock_folder, on_this_machine, this_process
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


def test_the_agent_on_a_device_locks_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASTOOL_LOCKS", str(tmp_path))
    agent = LockFile(lock_path("cpu-1/x"))
    with on_this_machine("cpu-1/x", pytest.fail, 0.0):
        assert agent.acquire("process 1 on a") == this_process()
    assert agent.acquire("process 1 on a") is None
    with pytest.raises(DeviceBusy, match=r"in use by process 1 on a"):
        on_this_machine("cpu-1/x", lambda text: None, 0.0).__enter__()
    agent.release()
    with on_this_machine("cpu-1/x", pytest.fail, 0.0):
        assert len(list(tmp_path.iterdir())) == 1


def test_the_agent_uses_the_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lock_path("cpu").parent == lock_folder()
    monkeypatch.delenv("NASTOOL_LOCKS")
    assert lock_path("cpu").parent == lock_folder()


def test_the_agent_opens_the_file_for_all_users_and_follows_no_link(tmp_path: Path) -> None:
    agent, before = LockFile(tmp_path / "a.lock"), os.umask(0o077)
    try:
        assert agent.acquire("process 1 on a") is None
    finally:
        os.umask(before)
        agent.release()
    assert stat.S_IMODE((tmp_path / "a.lock").stat().st_mode) == 0o666
    (tmp_path / "b.lock").symlink_to(tmp_path / "somebody's file")
    with pytest.raises(OSError, match="symbolic links"):
        LockFile(tmp_path / "b.lock").acquire("process 1 on a")
    assert not (tmp_path / "somebody's file").exists()
