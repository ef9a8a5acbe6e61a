"""Measurements on remote devices: those of this machine, whatever happens to the connection and the device.

The devices are processes of this machine with Python's standard library alone; their latencies are simulated.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from exporters.agent.machine import this_machine
from exporters.errors import ConnectionLost, DeviceFailed, DeviceUnreachable
from exporters.remote import connection as connections
from exporters.remote import device as remote_devices
from exporters.remote.address import Address
from exporters.remote.connection import Connection, connect
from latency_db.errors import TargetMismatch
from latency_db.table import Sample
from toolchain.measuring import reconnect
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import on_target, time_until_stable
from toolchain.measuring.target import ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Progress, Quiet, Task

PLAIN = f"cmd:{sys.executable} -S"
ROUNDS = 5
FILES = 4  # in a round, with the anchor network
Rounds = Mapping[int, Mapping[str, Sample]]


class Watched(Quiet):
    """Runs an action after some steps of a task."""

    def __init__(self, steps: int, action: "Action") -> None:
        self._remaining, self._action = steps, action
        self.said: list[str] = []

    def start(self, title: str, total: int, done: int = 0) -> Task:
        return self if title.startswith("time") else super().start(title, total, done)

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._remaining -= 1
        if self._remaining == 0:
            self._action.run()

    def say(self, text: str) -> None:
        self.said.append(text)


class Action:
    """Kills the newest process on the device; every one of them if `again`."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.again, self.began = False, False
        self.instead: Callable[[], object] | None = None
        self.also: Callable[[], object] = lambda: None

    def connect(self, address: Address) -> Connection:
        self.connections.append(connect(address))
        if self.again and self.began:
            self.run()
        return self.connections[-1]

    def run(self) -> None:
        self.began = True
        if self.instead is not None:
            self.instead()
            return
        self.also()
        os.kill(self.connections[-1].hello.process, signal.SIGKILL)


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Action:
    action = Action()
    monkeypatch.setattr(remote_devices, "connect", action.connect)
    monkeypatch.setattr(connections, "connect", action.connect)
    monkeypatch.setattr(reconnect, "WAITS_S", (0.0, 0.0, 0.0))
    return action


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Convolutions of three sizes; weights of 36 kB and more."""
    import numpy as np

    folder, files = tmp_path_factory.mktemp("files"), {}
    for channels in (32, 40, 48):
        weight = numpy_helper.from_array(np.ones((channels, 32, 3, 3), np.float32), "w")
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32, 8, 8])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", channels, 6, 6])
        graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", [x], [y], [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        files[f"conv{channels}"] = folder / f"{channels}.onnx"
        save_model(model, files[f"conv{channels}"])
    return files


def measured(
    files: dict[str, Path], device: str = PLAIN, progress: Progress | None = None, done: Rounds | None = None
) -> dict[int, dict[str, Sample]]:
    """The rounds of the files on a device."""
    target = ready_target(TargetSpec(device, "fake", batch=8))
    plan = MeasurementPlan(ROUNDS, 1.0, 0.0)
    rounds = {number: dict(samples) for number, samples in (done or {}).items()}
    timed = time_until_stable(on_target(files, target), plan, "latency.sqlite", progress or Quiet(), "time", rounds)
    try:
        for number, samples in timed:
            rounds[number] = samples
    except Exception as problem:
        problem.rounds = rounds  # type: ignore[attr-defined]  # what a profile has stored by then
        raise
    return rounds


@pytest.fixture(scope="module")
def local(files: dict[str, Path]) -> dict[int, dict[str, Sample]]:
    return measured(files, "cpu")


def test_a_remote_measurement_is_a_local_one(files: dict[str, Path], local: Rounds) -> None:
    assert measured(files) == local
    assert {len(samples) for samples in local.values()} == {FILES}
    here, remote = (ready_target(TargetSpec(device, "fake")).target for device in ("cpu", PLAIN))
    assert remote == here, "the target is what the device is, however it is reached"


@pytest.mark.parametrize("seed", range(10))
def test_a_lost_connection_costs_at_most_its_round(
    files: dict[str, Path], local: Rounds, killer: Action, seed: int
) -> None:
    progress = Watched(Random(seed).randrange(1, (ROUNDS - 1) * FILES), killer)
    assert measured(files, progress=progress) == local
    assert len(killer.connections) == 2
    (said,) = progress.said
    assert said.startswith("the connection to cmd:")
    assert said.endswith("; connecting again")


def test_a_device_that_stays_away_ends_the_command_which_resumes(
    files: dict[str, Path], local: Rounds, killer: Action
) -> None:
    killer.again = True
    with pytest.raises(ConnectionLost, match="Run the same command again") as caught:
        measured(files, progress=Watched(2 * FILES + 1, killer))  # in the third round
    done: Rounds = vars(caught.value)["rounds"]
    assert 2 <= len(done) < ROUNDS
    killer.again = False
    assert measured(files, done=done) == local


def test_a_device_that_is_gone_is_named(files: dict[str, Path], killer: Action, tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    interpreter.chmod(0o755)
    killer.also = interpreter.unlink
    with pytest.raises(DeviceUnreachable, match=r"cannot start .* to reach cmd:.*: No such file or directory"):
        measured(files, f"cmd:{interpreter}", Watched(3, killer))


def test_a_device_that_changes_while_it_is_away_is_not_the_same_target(
    files: dict[str, Path], killer: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer.also = lambda: monkeypatch.setenv("NASTOOL_SIMULATED_SPEED", "0.5")
    with pytest.raises(
        TargetMismatch, match=r"has changed while it was not connected: simulated_speed: 0\.5, before 1\.0\. Run"
    ):
        measured(files, progress=Watched(3, killer))


def test_a_clock_that_is_an_hour_off_does_not_matter(files: dict[str, Path], local: Rounds, tmp_path: Path) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text("import sys, time\nreal = time.time\ntime.time = lambda: real() + 3600\nexec(sys.argv[-1])\n")
    assert measured(files, f"{PLAIN} {runner}") == local


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no small disk to fill: mounting one takes root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_the_same_command_works_once_there_is_space(
    files: dict[str, Path], local: Rounds, small_disk: Path
) -> None:
    device = f"cmd:env NASTOOL_CACHE={small_disk} {sys.executable} -S"
    with pytest.raises(DeviceFailed, match=r"the disk of cmd:env .* is full \(.*No space left on device\)\. Free some"):
        measured(files, device)
    assert not list(small_disk.rglob("*.part"))
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert measured(files, device) == local


def test_a_device_that_simulates_half_the_speed(files: dict[str, Path], local: Rounds) -> None:
    slow = measured(files, f"cmd:env NASTOOL_SIMULATED_SPEED=0.5 {sys.executable} -S")
    for key, sample in local[0].items():
        assert slow[0][key].wall_ms_min == pytest.approx(2 * sample.wall_ms_min)


def test_a_target_outlives_its_connection(files: dict[str, Path], killer: Action) -> None:
    """A search holds one target for hours, in which the connection may be lost more than once."""
    target = ready_target(TargetSpec(PLAIN, "fake", batch=8))
    plan = MeasurementPlan(2, 1.0, 0.0)
    for _ in range(2):
        killer.run()
        timed = time_until_stable(on_target(files, target), plan, "latency.sqlite", Quiet(), "time")
        assert len(dict(timed)) == 2
        assert "load_1min" in target.conditions()
    killer.run()
    assert target.conditions() == {}, "provenance is no reason to lose a measurement"


def test_the_device_is_locked_while_it_measures(files: dict[str, Path], killer: Action) -> None:
    owners: list[str | None] = []
    killer.instead = lambda: owners.append(
        connect(killer.connections[0].address).lock("process 1 on another", this_machine().uid)
    )
    measured(files, progress=Watched(2, killer))
    assert owners[0] is not None
    assert owners[0].startswith(f"process {os.getpid()} on ")
    free = connect(killer.connections[0].address)
    assert free.lock("process 1 on another", this_machine().uid) is None
