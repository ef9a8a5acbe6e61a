"""Devices that are reached by ssh: a real server on this machine, started and stopped by the tests.

The interpreter on the device has numpy and onnxruntime alone.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pytest
import torch
from onnx import TensorProto, helper, save_model
from torch import nn

from exporters.errors import BackendUnavailable, DeviceUnreachable, NotOnnx
from exporters.graph.to_onnx import export_onnx
from exporters.remote import connection as connections
from exporters.remote.channel import Channel
from exporters.remote.device import remote_device
from latency_db.store import open_store
from toolchain.measuring import reconnect
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import on_target, time_until_stable
from toolchain.measuring.target import ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Quiet, Task

pytestmark = pytest.mark.long
Nastool = Callable[..., Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    files = {f"conv{width}": folder / f"{width}.onnx" for width in (4, 8, 16)}
    for width, path in zip((4, 8, 16), files.values(), strict=True):
        net = nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Flatten())
        export_onnx(net.eval(), torch.zeros(2, 3, 16, 16), path)
    return files


def test_every_command(device: Any, nastool: Nastool, settings: str, finished_job: Any, tmp_path: Path) -> None:
    """The supernet of a local run; everything that is measured is measured over ssh."""
    shutil.copytree(finished_job.folder / "runs", tmp_path / "runs")
    (tmp_path / "nastool.toml").write_text(settings)
    for name in ("best.json", "measured.jsonl"):
        for file in (tmp_path / "runs").rglob(name):
            file.unlink()
    at = ("--device", device.address)
    profiled = nastool("profile", *at, "--json", cwd=tmp_path)
    assert profiled.code == 0, profiled
    assert profiled.json["target"] == finished_job.answers["profile"].json["target"], "however it is reached"
    searched = nastool("search", "--latency", "100ms", *at, "--json", cwd=tmp_path)
    assert searched.code == 0, searched
    assert searched.json["measured_latency_ms"] > 0
    assert nastool("retrain", cwd=tmp_path).code == 0
    exported = nastool("export", *at, "--json", cwd=tmp_path)
    assert exported.code == 0, exported
    assert exported.json["target"] == profiled.json["target"]
    checked = nastool("check", *at, "--json", cwd=tmp_path)
    assert checked.code == 0, checked
    file = next((tmp_path / "runs").rglob("export/model.onnx"))
    benched = nastool("bench", file, *at, "--backend", "onnxruntime", "--rounds", "10", "--json", cwd=tmp_path)
    assert benched.code == 0, benched
    assert benched.json["entries"][0]["peak_memory_bytes"] > 0
    diagnosed = nastool("doctor", *at, "--json", cwd=tmp_path)
    assert {f["what"]: f["works"] for f in diagnosed.json["findings"]}["its backend onnxruntime"], diagnosed
    listed = nastool("devices", *at, "--json", cwd=tmp_path).json["attached"]
    assert [each["name"] for each in listed][-1] == device.address


def test_figures_agree_with_local_ones(device: Any, files: dict[str, Path]) -> None:
    plan = MeasurementPlan(12, 20.0, 0.0)
    targets = {name: ready_target(TargetSpec(name, batch=8)) for name in ("cpu", device.address)}
    assert targets["cpu"].target == targets[device.address].target
    times = {}
    for name, target in targets.items():
        rounds = dict(time_until_stable(on_target(files, target), plan, "latency.sqlite", Quiet(), "time"))
        samples = rounds.values()  # a file that was stable is left out of later rounds
        times[name] = {key: min(one[key].busy_ms_min for one in samples if key in one) for key in files}
    ratios = [times[device.address][key] / times["cpu"][key] for key in files]
    assert 0.85 < median(ratios) < 1.15, "least CPU time over 12 rounds; 1 on an idle machine"


class Cut(Quiet):
    """Kills the newest ssh process after some files."""

    def __init__(self, after: int, channels: list[Channel]) -> None:
        self._remaining, self._channels = after, channels

    def start(self, title: str, total: int, done: int = 0) -> Task:
        return self

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._remaining -= 1
        if self._remaining == 0:
            os.kill(self._channels[-1]._process.pid, signal.SIGKILL)


@pytest.mark.parametrize("seed", range(10))
def test_the_connection_is_cut_at_any_moment(
    device: Any, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    channels: list[Channel] = []
    monkeypatch.setattr(connections, "Channel", lambda *args: channels.append(Channel(*args)) or channels[-1])
    monkeypatch.setattr(reconnect, "WAITS_S", (0.0, 0.5, 1.0))
    target = ready_target(TargetSpec(device.address, batch=8))
    moment = Random(seed).randrange(1, 4 * (len(files) + 1))
    plan = MeasurementPlan(6, 20.0, 0.0)
    timed = time_until_stable(on_target(files, target), plan, "latency.sqlite", Cut(moment, channels), "time")
    rounds = dict(timed)
    assert len(channels) == 2
    assert set(range(6)) <= set(rounds)
    assert all(rounds[number].keys() == {*files, "anchor"} for number in range(6))


def test_a_profile_whose_device_dies_resumes_with_the_same_records(
    device: Any, nastool: Nastool, settings: str, tmp_path: Path
) -> None:
    (tmp_path / "nastool.toml").write_text(settings)
    words = [sys.executable, "-m", "cli.main", "profile", "--device", device.address, "--quiet-timeout", "0s"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(timeout=8)
        except subprocess.TimeoutExpired:
            process.kill()
    answer = nastool("profile", "--device", device.address, "--quiet-timeout", "0s", "--json", cwd=tmp_path)
    assert answer.code == 0, answer
    with open_store(str(tmp_path / "latency.sqlite")) as store:
        ((_, records),) = store.targets()
    assert records == len(answer.json["rows"]) + len(answer.json["networks"])
    assert min(row["rounds"] for row in answer.json["rows"]) >= 2


def test_an_unknown_host_key_is_never_accepted(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASTOOL_SSH", device.stranger)
    with pytest.raises(DeviceUnreachable, match=r"Host key verification failed\. Connect once with ssh"):
        remote_device(device.address)


def test_a_key_that_is_refused(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASTOOL_SSH", f"{device.ssh} -o PubkeyAuthentication=no")
    with pytest.raises(DeviceUnreachable, match=r"Permission denied .* Set up a key that needs no password"):
        remote_device(device.address)


def test_an_interpreter_that_is_missing(device: Any) -> None:
    with pytest.raises(DeviceUnreachable, match=r"No such file or directory\. Install Python 3\.9 or later there"):
        remote_device(f"{device.address}-of-mine")


def test_a_host_that_does_not_answer(device: Any) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DeviceUnreachable, match=r"cannot reach ssh://.*[Tt]imed out"):
            remote_device(f"ssh://127.0.0.1:{silent.getsockname()[1]}")


def test_a_system_python_without_packages(device: Any) -> None:
    outside: str = vars(sys)["_base_executable"]  # of the environment; Python does not document it
    bare = f"{device.address.partition('127.0.0.1')[0]}127.0.0.1:{port_of(device)}{outside}"
    remote = remote_device(bare).remote
    assert remote is not None
    if remote.hello.onnxruntime:
        pytest.skip("the interpreter of this machine has onnxruntime")
    with pytest.raises(BackendUnavailable, match=r"cannot import .*onnxruntime\. Run .* -m pip install"):
        ready_target(TargetSpec(bare))


def port_of(device: Any) -> str:
    return device.address.rpartition(":")[2].partition("/")[0]


def runs(python: str) -> bool:
    """Whether a command is an interpreter, and not a shim without one."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python 3.9 with the last onnxruntime for it."""
    candidates = [shutil.which("python3.9") or "", *map(str, Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9"))]
    python = next((path for path in candidates if path and runs(path)), None)
    if python is None:
        pytest.skip("there is no Python 3.9")
    folder = tmp_path_factory.mktemp("old")
    wheels = [sys.executable, "-m", "pip", "install", "-q", "--target", folder, "--python-version", "3.9"]
    options = ["--only-binary=:all:", "--no-deps", "numpy<2.1", "onnxruntime<1.20"]
    if subprocess.run([*wheels, *options], capture_output=True, check=False).returncode != 0:
        pytest.skip("onnxruntime for Python 3.9 cannot be installed")
    runner = folder / "python"
    runner.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {python} "$@"\n')
    runner.chmod(0o755)
    return runner


def test_python_3_9_with_an_old_onnxruntime(files: dict[str, Path], old_python: Path) -> None:
    target = ready_target(TargetSpec(f"cmd:{old_python}", batch=8))
    assert target.device is not None
    assert target.device.remote is not None
    hello = target.device.remote.hello
    assert hello.python.startswith("3.9.")
    assert hello.onnxruntime.startswith("1.19.")
    facts = target.device.remote.facts
    assert str(facts.tensorrt("tensorrt", "").reason).startswith("tensorrt is not installed"), "its code runs there"
    assert "no CUDAExecutionProvider" in str(facts.provider("CUDAExecutionProvider", "").reason)
    plan = MeasurementPlan(2, 5.0, 0.0)
    rounds = dict(time_until_stable(on_target(files, target), plan, "latency.sqlite", Quiet(), "time"))
    assert all(sample.wall_ms_min > 0 for sample in rounds[0].values())
    here = ready_target(TargetSpec("cpu", batch=8)).target
    assert [text.partition(":")[0] for text in target.target.differences(here)] == ["backend_version", "os"] or (
        target.target.differences(here)[0].startswith("backend_version: 1.19")
    )


def test_a_file_that_is_too_new_for_the_device(old_python: Path, tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=11)
    save_model(model, tmp_path / "new.onnx")
    target = ready_target(TargetSpec(f"cmd:{old_python}", batch=8))
    with pytest.raises(NotOnnx, match=r"onnxruntime 1\.19\S+ on cmd:.* cannot run .*Install a newer onnxruntime there"):
        target.backend.compile(tmp_path / "new.onnx", target.compile_spec)
