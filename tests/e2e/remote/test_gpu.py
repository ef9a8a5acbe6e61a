"""GPUs of remote devices: TensorRT builds, runs and times there.

There is no GPU here, so the device has simulated libraries of NVIDIA (simulated_gpu/sitecustomize.py), and engines are
computed by ONNX Runtime. TensorRT-RTX builds real engines without a GPU.
"""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend as OnnxRuntime
from exporters.backends.tensorrt import Backend as LocalTensorRT
from exporters.cuda.gpus import gpus
from exporters.errors import BackendUnavailable, DeviceMissing, EngineFailed, UnknownDevice
from exporters.graph.to_onnx import export_onnx
from exporters.remote.backends import remote_backend
from exporters.remote.device import remote_device
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import on_target, time_until_stable
from toolchain.measuring.target import ReadyTarget, ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Quiet

Nastool = Callable[..., Any]
LIBRARIES = Path(__file__).parent / "simulated_gpu"
WITHOUT = f"cmd:{sys.executable}"  # a GPU


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    """A file with a line for each engine that was built on the device."""
    return tmp_path / "builds"


@pytest.fixture
def address(tmp_path: Path, builds: Path) -> Callable[..., str]:
    """The address of a machine with a GPU, which has a folder of files of its own."""

    def machine(**settings: object) -> str:
        variables = {"PYTHONPATH": LIBRARIES, "NASTOOL_CACHE": tmp_path / "cache", "SIMULATED_BUILDS": builds}
        words = [f"{name}={value}" for name, value in {**variables, **settings}.items()]
        return f"cmd:env {shlex.join(words)} {sys.executable}"

    return machine


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "net.onnx"
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
    export_onnx(net.eval(), torch.zeros(2, 3, 8, 8), path)
    return path


def on_gpu(address: str, **settings: Any) -> ReadyTarget:
    return ready_target(TargetSpec(f"{address}#gpu", batch=4, **settings))


def test_the_target_is_the_gpu_with_its_state(address: Callable[..., str]) -> None:
    ready = on_gpu(address())
    target, device = ready.target, ready.device
    assert (target.device_model, target.device_kind, target.device_cores) == ("Orin", "gpu", 2048)
    assert (target.backend, target.backend_version, target.provider) == (
        "tensorrt",
        "10.13.3.9",
        "CUDA graph, cuda-python",
    )
    assert (target.capability, target.driver) == ("8.7", "580.65.06, CUDA 13.0")
    assert target.clocks == "held at 1300 MHz"
    assert device is not None
    assert (device.uid, device.memory_bytes) == ("GPU-simulated", 2**30)
    conditions = ready.conditions()
    assert (conditions["temperature_c"], conditions["clock_mhz"], conditions["power_w"]) == (51, 1300, 9)


def test_runs_and_times_what_it_built(address: Callable[..., str], file: Path) -> None:
    ready = on_gpu(address())
    compiled = ready.backend.compile(file, ready.compile_spec)
    feeds = {"images": np.random.default_rng(0).standard_normal((6, 3, 8, 8), dtype=np.float32)}
    here = OnnxRuntime().compile(file, CompileSpec(4)).run(feeds)
    for name, values in compiled.run(feeds).items():
        np.testing.assert_allclose(values, here[name], rtol=1e-5)
    timing = compiled.time(5.0)
    assert timing.calls >= 3
    assert 0 < timing.busy_ms_min <= timing.busy_ms_median
    compiled.close()


@pytest.mark.long
def test_an_engine_is_built_once_for_a_file_and_a_target(address: Callable[..., str], file: Path, builds: Path) -> None:
    plan = MeasurementPlan(1, 1.0, 0.0)

    def measure(**settings: object) -> int:
        ready = on_gpu(address(**settings))
        dict(time_until_stable(on_target({"net": file}, ready), plan, "latency.sqlite", Quiet(), "time"))
        return len(builds.read_text().splitlines())

    assert measure() == 2, "the file and the anchor network"
    assert measure() == 2
    assert measure(SIMULATED_TENSORRT="11.4.0.106") == 4
    assert measure(SIMULATED_TENSORRT="8.6.1", SIMULATED_GPU="NVIDIA TITAN Xp") == 6
    assert measure() == 6


def test_a_cached_engine_that_does_not_load_is_built_again(
    address: Callable[..., str], file: Path, builds: Path, tmp_path: Path
) -> None:
    ready = on_gpu(address())
    ready.backend.compile(file, ready.compile_spec).close()
    (cached,) = (tmp_path / "cache").rglob("*.engine")
    header, _, plan = cached.read_bytes().partition(b"\n")
    cached.write_bytes(header + b"\n" + plan.replace(b"Orin", b"Onyx"))
    ready.backend.compile(file, ready.compile_spec).close()
    assert len(builds.read_text().splitlines()) == 2


def test_tensorrt_8_6_gets_an_opset_that_it_reads(address: Callable[..., str], tmp_path: Path) -> None:
    """Its stand-in reads every opset, but what is sent is what it would have to read."""
    import onnx

    file = tmp_path / "mean.onnx"
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 2]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9), file)
    for version, opset in (("8.6.1", 17), ("10.13.3.9", 20)):
        folder = tmp_path / version
        ready = on_gpu(address(SIMULATED_TENSORRT=version, NASTOOL_CACHE=folder))
        ready.backend.compile(file, ready.compile_spec).close()
        (sent,) = folder.rglob("*.onnx")
        assert onnx.load(sent).opset_import[0].version == opset


def test_a_gpu_without_memory_is_named(address: Callable[..., str], file: Path) -> None:
    machine = address(SIMULATED_BYTES=1000)
    ready = on_gpu(machine)
    with pytest.raises(BackendUnavailable, match=r"on cmd:env .*#gpu: malloc on GPU 0: cudaErrorMemoryAllocation"):
        ready.backend.compile(file, ready.compile_spec)


def test_a_gpu_whose_clocks_change_is_another_target(
    address: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = tmp_path / "python"
    runner.write_text(f'#!/bin/sh\nexec {address().removeprefix("cmd:")} "$@"\n')
    runner.chmod(0o755)
    device = on_gpu(f"cmd:{runner}").device
    assert device is not None
    assert device.remote is not None
    assert device.remote.reconnect() == ()
    monkeypatch.setenv("SIMULATED_CLOCK", "900")
    assert device.remote.reconnect() == ("clocks: held at 900 MHz, before held at 1300 MHz",)


def test_an_engine_runs_only_where_it_was_built_for(address: Callable[..., str], file: Path, tmp_path: Path) -> None:
    ready = on_gpu(address())
    assert hasattr(ready.backend, "build")
    engine = ready.backend.build(file, ready.compile_spec)
    assert (engine.capability, engine.built_by) == ("8.7", "tensorrt 10.13.3.9")
    engine.save(tmp_path / "net.engine")
    ready.backend.compile(tmp_path / "net.engine", ready.compile_spec).close()
    other = on_gpu(address(SIMULATED_GPU="NVIDIA TITAN Xp", SIMULATED_TENSORRT="8.6.1"))
    with pytest.raises(EngineFailed, match=r"on cmd:.*#gpu: tensorrt 8\.6\.1 cannot load net\.engine: the engine was"):
        other.backend.compile(tmp_path / "net.engine", other.compile_spec)


@pytest.mark.parametrize(
    ("name", "settings", "error", "text"),
    [
        ("#gpu7", {}, UnknownDevice, r"has no device 'gpu7'\. It has cmd:env .* \(its CPU\) and .*#jetson-agx-orin"),
        ("", {"backend": "tensorrt"}, BackendUnavailable, r"runs on a GPU, and .* is a CPU\..*, or --device .*#gpu"),
        ("#gpu", {"backend": "tensorrt_rtx"}, BackendUnavailable, "Orin has compute capability 8.7, and tensorrt_rtx"),
        ("#gpu", {"backend": "onnxruntime"}, BackendUnavailable, "there is no NVIDIA driver on this machine"),
    ],
)
def test_what_cannot_be_used_says_what_can(
    address: Callable[..., str], name: str, settings: dict[str, str], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ready_target(TargetSpec(f"{address()}{name}", **settings))


def test_a_titan_xp_with_a_tensorrt_that_is_too_new(address: Callable[..., str]) -> None:
    machine = address(SIMULATED_GPU="NVIDIA TITAN Xp", SIMULATED_TENSORRT="10.13.3.9")
    with pytest.raises(BackendUnavailable, match=r"compute capability 6\.1, and tensorrt 10\.13\.3\.9 runs on 7\.5"):
        on_gpu(machine, backend="tensorrt")


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="there is no NVIDIA GPU with its driver on this machine")
def test_a_real_gpu_is_the_one_that_it_is_here(file: Path) -> None:
    plan, times = MeasurementPlan(5, 20.0, 0.0), {}
    targets = {name: ready_target(TargetSpec(name, batch=4)) for name in ("gpu0", f"{WITHOUT}#gpu0")}
    here, there = targets.values()
    assert here.target == there.target
    for name, target in targets.items():
        rounds = dict(time_until_stable(on_target({"net": file}, target), plan, "latency.sqlite", Quiet(), "time"))
        times[name] = median(samples["net"].busy_ms_median for samples in rounds.values() if "net" in samples)
    local_ms, remote_ms = times.values()
    assert 0.8 < remote_ms / local_ms < 1.25


@pytest.mark.skipif(bool(gpus()), reason="there is an NVIDIA GPU on this machine")
def test_a_machine_without_a_gpu() -> None:
    with pytest.raises(
        DeviceMissing, match=r"cmd:.* has no NVIDIA GPU with its driver, so there is no #gpu\. Leave it out"
    ) as error:
        remote_device(f"{WITHOUT}#gpu")
    assert error.value.exit_code == 5


def test_tensorrt_rtx_builds_the_engine_that_it_builds_here(file: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    connection = remote_device(WITHOUT).remote
    assert connection is not None
    backend = remote_backend(connection, "tensorrt_rtx")
    assert hasattr(backend, "build")
    there = backend.build(file, CompileSpec(4), "8.6")
    here = LocalTensorRT("tensorrt_rtx").build(file, CompileSpec(4), "8.6")
    assert (there.plan, there.convolutions) == (here.plan, here.convolutions)
    assert (there.capability, there.built_by) == (here.capability, here.built_by)
    with pytest.raises(EngineFailed, match=r"on cmd:.*: tensorrt_rtx .* does not build for compute capability 9\.9"):
        backend.build(file, CompileSpec(4), "9.9")
    if LocalTensorRT("tensorrt_rtx").unavailable_reason() is not None:
        with pytest.raises(BackendUnavailable, match=r"cannot run net\.onnx on cmd:.*no NVIDIA GPU"):
            backend.compile(file, CompileSpec(4))


@pytest.mark.long
def test_export_and_check_an_engine_on_a_device(address: Callable[..., str], job: Any, nastool: Nastool) -> None:
    folder, at = job.folder, ("--device", f"{address()}#gpu")
    path = folder / "runs/r/search/best.json"
    best = json.loads(path.read_text())
    best["limits"].pop("latency_ms")  # it is one of another target
    path.write_text(json.dumps(best))
    exported = nastool("export", "--engine", "--batches", "1..16", *at, "--json", cwd=folder)
    assert exported.code == 0, exported.stderr
    (record,) = exported.json["engines"].values()
    assert (record["built_by"], record["batches"], record["not_verified"]) == ("tensorrt 10.13.3.9", [1, 8, 16], "")
    assert record["parity"]["top1_agreement"] == 1.0
    assert record["holdout_accuracy"] == exported.json["holdout_accuracy"]
    assert record["measured_latency_ms"] > 0
    assert record["onnx_latency_ms"] > 0
    engine = next((folder / "runs/r/export").glob("*.sm87.engine"))
    checked = nastool("check", engine, *at, "--latency", "1s", "--json", cwd=folder)
    assert checked.code == 0, checked.stderr
    assert checked.json["target"]["backend"] == "tensorrt"
    benched = nastool("bench", engine, folder / "runs/r/export/model.onnx", *at, "--rounds", "10", "--json", cwd=folder)
    assert benched.code in (0, 3), benched.stderr
    other = nastool("export", "--sm", "86", "--device", WITHOUT, "--json", cwd=folder)
    assert other.code == 0, other.stderr
    assert other.json["engines"]["model.sm86.engine"]["not_verified"] == "no GPU of compute capability 8.6"
    cpu = nastool("export", "--engine", "--device", WITHOUT, cwd=folder)
    assert cpu.code == 5
    assert "#gpu for the GPU of that machine" in " ".join(cpu.stderr.split())
