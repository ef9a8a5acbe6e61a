"""Device locks: waiting commands name the holder, and a killed holder blocks nothing."""

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from platform import node

import pytest

from latency_db.errors import DatabaseUnwritable, DeviceBusy
from latency_db.locks import lock_folder, on_this_machine
from latency_db.store import Store, open_store

HOLDER = """
import sys, time
from latency_db.store import open_store
with open_store(sys.argv[1]) as store, store.device_lock(sys.argv[2], print):
    print("held", flush=True)
    sys.stdin.read(1)
"""


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with open_store(where) as opened:
        yield opened


@pytest.fixture
def other(where: str, store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the device `gpu-7`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, where, "gpu-7"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def release(process: subprocess.Popen[str]) -> None:
    process.communicate("x")


@pytest.mark.long
def test_waiting_names_the_holder_and_ends_at_the_limit(store: Store, other: subprocess.Popen[str]) -> None:
    said: list[str] = []
    holder = f"process {other.pid} on {node()}"
    with pytest.raises(DeviceBusy, match=rf"gpu-7 was in use by {holder} .*Run the command again") as caught:
        store.device_lock("gpu-7", said.append, wait_s=0.5).__enter__()
    assert caught.value.exit_code == 5
    assert said == [f"waiting for {holder}, which measures on this device"]
    with store.device_lock("gpu-8", said.append, wait_s=0.0):  # another device is free
        assert len(said) == 1


def test_lock_is_acquired_when_the_holder_ends(store: Store, other: subprocess.Popen[str]) -> None:
    def on_wait(text: str) -> None:
        release(other)

    with store.device_lock("gpu-7", on_wait, wait_s=60):
        assert other.returncode == 0


def test_killed_holder_releases_the_lock(store: Store, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    with store.device_lock("gpu-7", lambda text: None, wait_s=30):  # a server notices it after a moment
        pass


def test_one_process_can_hold_a_device_twice(store: Store, where: str) -> None:
    with store.device_lock("gpu-7", pytest.fail), open_store(where) as again, again.device_lock("gpu-7", pytest.fail):
        pass
    with store.device_lock("gpu-7", pytest.fail):
        pass


MEASURE = """
import sys, time
from latency_db.store import open_store
for _ in range(10):
    with open_store(sys.argv[1]) as store, store.device_lock("cpu", lambda text: None):
        begin = time.monotonic()
        time.sleep(0.02)
        print(begin, time.monotonic())
"""


@pytest.mark.long
def test_holders_never_overlap(where: str, store: Store) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MEASURE, where], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    intervals = sorted(
        tuple(map(float, line.split())) for process in processes for line in process.communicate()[0].splitlines()
    )
    assert len(intervals) == 30
    assert all(before[1] <= after[0] for before, after in pairwise(intervals))


def test_all_users_can_write_the_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASTOOL_LOCKS", str(tmp_path))
    before = os.umask(0o077)
    try:
        with on_this_machine("GPU-1/x", pytest.fail, 0.0):
            (file,) = tmp_path.iterdir()
    finally:
        os.umask(before)
    assert file.name == "nastool-GPU-1-x.lock"
    assert stat.S_IMODE(file.stat().st_mode) == 0o666
    assert file.read_text() == ""  # the name of the holder is removed


def test_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASTOOL_LOCKS", str(tmp_path))
    (tmp_path / "nastool-cpu.lock").symlink_to(tmp_path / "somebody's file")
    with pytest.raises(DatabaseUnwritable, match=r"cannot open the lock file .*nastool-cpu\.lock.*NASTOOL_LOCKS"):
        on_this_machine("cpu", pytest.fail, 0.0).__enter__()
    assert not (tmp_path / "somebody's file").exists()


@pytest.mark.parametrize("name", ["missing", "a file"])
def test_lock_folder_that_is_not_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("NASTOOL_LOCKS", str(tmp_path / name))
    with pytest.raises(DatabaseUnwritable, match=rf"the folder .*{name} for lock files.*Create it, or unset NASTOOL_"):
        lock_folder()


AS_NOBODY = """
import os, sys
from latency_db.locks import on_this_machine
if os.geteuid() == 0: os.setuid(65534)
with on_this_machine("cpu", print, 30.0):
    print("held")
"""


def test_other_users_share_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder like /tmp: all users can write, and a file belongs to its creator."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)
        monkeypatch.setenv("NASTOOL_LOCKS", folder)
        assert lock_folder() == Path(folder)
        began = time.monotonic()
        with on_this_machine("cpu", pytest.fail, 0.0):
            process = subprocess.Popen([sys.executable, "-u", "-c", AS_NOBODY], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert "waiting for process" in process.stdout.readline()
        assert process.communicate()[0] == "held\n"
        assert time.monotonic() - began < 60
