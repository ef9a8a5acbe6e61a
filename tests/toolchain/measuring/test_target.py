"""Which backend a name means on which device, and what is noted of a target."""

import platform
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from exporters.agent.clocks import cpu_clocks
from exporters.backends import onnxruntime
from exporters.backends.tensorrt import Backend as TensorRT
from exporters.cuda import memory, nvml, tensorrt_runtime
from exporters.devices import attached
from exporters.devices.attached import Device
from exporters.errors import BackendUnavailable, UnknownDevice
from toolchain.errors import BadConfig
from toolchain.measuring import target
from toolchain.measuring.backend_choice import named_backend
from toolchain.measuring.target import ready_target
from toolchain.measuring.target_identity import make_target
from toolchain.measuring.target_spec import TargetSpec

GPU = Device(
    "gpu0",
    "gpu",
    "NVIDIA GeForce RTX 3090",
    82,
    "GPU-1",
    capability="8.6",
    driver="580.65.06, CUDA 13.0",
    pci_bus_id="00000000:01:00.0",
)
SECOND = replace(GPU, name="gpu1", uid="GPU-2", pci_bus_id="00000000:0A:00.0")  # of the same model


def resolved(**settings: Any) -> Any:
    return ready_target(TargetSpec(**settings))


def test_the_default_backend_of_a_cpu_is_onnxruntime() -> None:
    backend = resolved().backend
    assert (backend.name, backend.provider) == ("onnxruntime", onnxruntime.CPU)
    assert resolved(backend="fake").backend.name == "fake"


def test_what_is_noted_of_this_cpu() -> None:
    target = resolved().target
    assert (target.device_kind, target.precision, target.compute_precision) == ("cpu", "fp32", "fp32")
    assert (target.capability, target.driver) == ("", "")
    assert target.clocks == cpu_clocks() != ""
    assert not target.estimate


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> nvml.Gpu:
    """A GPU as NVML would describe it; nothing is run on it."""
    described = nvml.Gpu(0, GPU.model, "GPU-1", "0000:01:00.0", "8.6", "580.65.06, CUDA 13.0", 24 << 30)
    monkeypatch.setattr(nvml, "gpus", lambda: (described,))
    monkeypatch.setattr(nvml, "_kept_open", lambda: True)
    monkeypatch.setattr(nvml, "_state", lambda library, pci: nvml.ClockState(1404, 2))
    monkeypatch.setattr(target, "find", lambda name: GPU)
    return described


def test_what_is_noted_of_a_gpu(gpu: nvml.Gpu) -> None:
    target = make_target(GPU, onnxruntime.Backend(onnxruntime.CUDA), TargetSpec(precision="fp16"))
    assert (target.device_kind, target.capability, target.driver) == ("gpu", "8.6", "580.65.06, CUDA 13.0")
    assert (target.precision, target.compute_precision, target.clocks) == ("fp16", "fp16", "held at 1404 MHz")
    assert (target.backend, target.provider) == ("onnxruntime", onnxruntime.CUDA)


def test_on_a_gpu_onnxruntime_is_its_cuda_provider(gpu: nvml.Gpu) -> None:
    assert named_backend("onnxruntime", GPU).provider == onnxruntime.CUDA
    assert named_backend("onnxruntime_tensorrt", GPU).provider == onnxruntime.TENSORRT
    assert named_backend("tensorrt_rtx", GPU).name == "tensorrt_rtx"


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime_tensorrt", "tensorrt", "tensorrt_rtx"])
def test_each_backend_runs_on_the_named_gpu(name: str) -> None:
    for device in (GPU, SECOND):
        backend = named_backend(name, device)
        assert isinstance(backend, onnxruntime.Backend | TensorRT)
        assert backend.gpu == device.pci_bus_id


def test_of_two_gpus_of_a_model_the_clocks_of_the_named_one_are_stored(
    gpu: nvml.Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = replace(gpu, index=1, uuid=SECOND.uid, pci_bus_id=SECOND.pci_bus_id)
    megahertz = {GPU.pci_bus_id: 1404, second.pci_bus_id: 1100}
    monkeypatch.setattr(nvml, "gpus", lambda: (gpu, second))
    monkeypatch.setattr(nvml, "_state", lambda library, pci: nvml.ClockState(megahertz[pci], 2))
    noted = [make_target(device, named_backend("onnxruntime", device), TargetSpec()).clocks for device in (GPU, SECOND)]
    assert noted == ["held at 1404 MHz", "held at 1100 MHz"]


def test_a_gpu_without_a_place_is_refused_where_there_are_others(
    gpu: nvml.Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = replace(SECOND, pci_bus_id="")
    assert named_backend("tensorrt", lost).name == "tensorrt"  # it is the only one
    monkeypatch.setattr(nvml, "gpus", lambda: (gpu, replace(gpu, index=1)))
    with pytest.raises(BackendUnavailable, match=r"PCI bus id of gpu1.*Leave one GPU visible.*device=GPU-2"):
        named_backend("tensorrt", lost)


def test_the_default_of_a_gpu_is_the_first_that_can_run(gpu: nvml.Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime.Backend, "unavailable_reason", lambda self: None)
    monkeypatch.setattr(TensorRT, "unavailable_reason", lambda self: None)
    monkeypatch.setattr(TensorRT, "version", lambda self: "10.14.1")
    assert resolved(device="gpu0").backend.name == "tensorrt"
    monkeypatch.setattr(TensorRT, "unavailable_reason", lambda self: "it is not installed")
    assert resolved(device="gpu0").backend.provider == onnxruntime.CUDA


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt_rtx", "onnxruntime_tensorrt"])
def test_a_gpus_backend_on_a_cpu_is_refused(name: str) -> None:
    with pytest.raises(BackendUnavailable, match=rf"{name} runs on a GPU, and the device cpu is a CPU.*Give --backend"):
        resolved(backend=name)


def test_a_precision_that_would_be_another_is_refused() -> None:
    if platform.machine() != "x86_64":
        pytest.skip("ONNX Runtime has fp16 kernels for other CPUs")
    with pytest.raises(
        BackendUnavailable,
        match=r"computes fp16 files in fp32 on x86 CPUs.*\(--precision fp32, or ",
    ):
        resolved(precision="fp16")
    assert resolved(precision="fp16", backend="fake").backend.name == "fake"


def test_an_estimate_has_nothing_of_this_machine() -> None:
    target = resolved(device="titanxp", estimate=True, threads=2, backend="tensorrt").target
    assert target.estimate
    assert (target.device_model, target.backend) == ("NVIDIA TITAN Xp", "roofline")
    assert target.provider == "estimate, 2.03e+12 FLOP/s, 2.01e+11 B/s"
    assert (target.os, target.affinity, target.threads, target.driver, target.clocks) == ("", "", 1, "", "")


def test_an_estimate_of_what_is_not_known_is_refused() -> None:
    with pytest.raises(UnknownDevice, match="unknown device 'tpu'"):
        resolved(device="tpu", estimate=True)
    with pytest.raises(
        BadConfig, match=r"cpu \(.*\) is attached and can be measured.* Give --device cpu without --estimate"
    ):
        resolved(estimate=True)
    with pytest.raises(BadConfig, match=r"ssh://pi#gpu is measured, not estimated\. Leave out --estimate"):
        resolved(device="ssh://pi#gpu", estimate=True)
    with pytest.raises(BackendUnavailable, match=r"estimates are made in fp32, not in fp16"):
        resolved(device="titanxp", estimate=True, precision="fp16")


def test_a_titan_xp_uses_the_tensorrt_that_runs_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    titan = nvml.Gpu(0, "NVIDIA TITAN Xp", "GPU-1", "0000:01:00.0", "6.1", "580.65, CUDA 12.9", 12 << 30, 3840)
    monkeypatch.setattr(nvml, "gpus", lambda: (titan,))
    monkeypatch.setattr(attached, "gpus", lambda: (titan,))
    monkeypatch.setattr(nvml, "_kept_open", lambda: False)
    monkeypatch.setattr(memory, "unavailable_reason", lambda gpu="": None)
    monkeypatch.setattr(tensorrt_runtime, "find_spec", lambda name: name)
    module = ModuleType("tensorrt")
    monkeypatch.setattr(tensorrt_runtime, "import_module", lambda name: module)
    for version, expected in (("8.6.1", "tensorrt"), ("11.4.0.106", "onnxruntime")):
        module.__version__ = version  # type: ignore[attr-defined]
        monkeypatch.setattr(onnxruntime.Backend, "unavailable_reason", lambda self: None)
        ready = resolved(device="titanxp")
        assert (ready.backend.name, ready.target.capability, ready.target.device_model) == (expected, "6.1", titan.name)
