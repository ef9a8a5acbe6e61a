"""Several devices are profiled at the same time, those of one machine one after the other; a failure stops no other."""

from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest

from exporters.devices.attached import Device
from exporters.errors import ConnectionLost
from toolchain.measuring.target import ReadyTarget
from toolchain.profiling.fleet import _by_machine, _in_parallel
from toolchain.progress import Quiet


class Said(Quiet):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def ready(uid: str, remote: bool) -> ReadyTarget:
    unused: Any = None
    connection: Any = SimpleNamespace(hello=SimpleNamespace(uid=uid)) if remote else None
    return ReadyTarget(unused, unused, Device("d", "cpu", "m", 1, uid, remote=connection), unused)


def test_devices_of_one_machine_share_a_thread() -> None:
    targets = {"a": ready("one", True), "b": ready("two", True), "c": ready("one", True), "cpu": ready("x", False)}
    assert _by_machine(targets) == [["a", "c"], ["b"], ["cpu"]]
    assert _by_machine({"cpu": ready("x", False), "gpu": ready("y", False)}) == [["cpu", "gpu"]]


def test_machines_work_at_the_same_time() -> None:
    both = Barrier(2, timeout=60)

    def work(device: str) -> Any:
        both.wait()  # breaks unless the other one is working
        return f"profile of {device}"

    done: Any = _in_parallel([["a"], ["b"]], work, Quiet())
    assert done == {"a": "profile of a", "b": "profile of b"}


def test_a_failure_is_raised_after_the_others_have_ended() -> None:
    ended: list[str] = []
    said = Said()

    def work(device: str) -> Any:
        if device != "c":
            raise ConnectionLost(f"{device} was lost")
        ended.append(device)

    with pytest.raises(ConnectionLost, match="a was lost"):
        _in_parallel([["a", "b", "c"]], work, said)
    assert (ended, said.lines) == (["c"], ["b was lost"])
