"""The chosen GPU is used although NVML and CUDA count differently: two cards, on substitutes for both libraries.

The substitutes know the bus ids and record the selected GPU; test_gpu_bindings.py checks their names on the real ones.
"""

# ruff: noqa: N802, N815 - the names are CUDA's

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec, PicksGpu, onnxruntime, tensorrt
from exporters.cuda import memory, nvml
from exporters.cuda.cuda_python import RUNTIME
from exporters.cuda.engine import Engine
from exporters.errors import BackendUnavailable, EngineFailed, NotOnnx
from exporters.graph.to_onnx import export_onnx

SLOW = nvml.Gpu(0, "Tesla T4", "GPU-aa", "00000000:01:00.0", "7.5", "580.65, CUDA 13.0", 16 << 30)
FAST = nvml.Gpu(1, "NVIDIA H100", "GPU-bb", "00000000:0A:00.0", "9.0", "580.65, CUDA 13.0", 80 << 30)
FASTEST_FIRST = ("0000:0a:00.0", "0000:01:00.0")  # CUDA's default order


VISIBLE = {
    "the fastest first": (("0000:0a:00.0", "0000:01:00.0"), 1, 0),
    "in the order of the bus": (("0000:01:00.0", "0000:0a:00.0"), 0, 1),
    "CUDA_VISIBLE_DEVICES=1": (("0000:01:00.0",), 0, None),
    "none": ((), None, None),
}


@pytest.mark.parametrize(("visible", "slow", "fast"), VISIBLE.values(), ids=VISIBLE)
def test_a_gpu_is_found_by_its_bus_id(visible: tuple[str, ...], slow: int | None, fast: int | None) -> None:
    """NVML writes eight digits for the domain and upper case, CUDA four digits and lower case."""
    assert memory.position_of("00000000:01:00.0", visible) == slow
    assert memory.position_of("00000000:0A:00.0", visible) == fast


def test_the_cause_of_a_hidden_gpu_is_named() -> None:
    both = (SLOW, FAST)
    assert memory.not_visible(SLOW.pci_bus_id, ("0000:0a:00.0",), both, "GPU-bb") == (
        "CUDA does not see the Tesla T4 at 00000000:01:00.0 (gpu0): CUDA_VISIBLE_DEVICES=GPU-bb hides it. "
        "Run unset CUDA_VISIBLE_DEVICES, or --device gpu1 for the NVIDIA H100"
    )
    assert memory.not_visible("0000:07:00.0", (), both, None) == (
        "CUDA does not see the GPU at 0000:07:00.0. Check that nvidia-smi lists it and that this user may use it"
    )


class FakeRuntime(SimpleNamespace):
    """`cuda.bindings.runtime`, as far as a GPU is chosen with it."""

    cudaError_t = SimpleNamespace(cudaSuccess=0, cudaErrorNoDevice=100)
    cudaDeviceScheduleSpin = cudaStreamNonBlocking = 1

    def __init__(self, places: Sequence[str]) -> None:
        self.places = places
        self.selected: list[int] = []
        self.trouble = 0 if places else 100

    def cudaGetDeviceCount(self) -> tuple[int, int]:
        return self.trouble, len(self.places)

    def cudaDeviceGetPCIBusId(self, size: int, ordinal: int) -> tuple[int, bytes]:
        return 0, self.places[ordinal].encode().ljust(size, b"\0")

    def cudaGetErrorName(self, error: int) -> tuple[int, bytes]:
        return 0, b"cudaErrorInsufficientDriver"

    def cudaGetLastError(self) -> tuple[int]:
        return (0,)

    def cudaSetDevice(self, ordinal: int) -> tuple[int]:
        self.selected.append(ordinal)
        return (0,)

    def cudaSetDeviceFlags(self, flags: int) -> tuple[int]:
        return (0,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[int, int]:
        return 0, 40 + self.selected[-1]

    def cudaEventCreate(self) -> tuple[int, int]:
        return 0, 7

    def cudaMalloc(self, size: int) -> tuple[int, int]:
        return 0, 1000 + self.selected[-1]

    def cudaEventDestroy(self, event: int) -> tuple[int]:
        return (0,)

    cudaStreamDestroy = cudaEventDestroy


class FakePyCuda:
    """`pycuda.driver`, as far as places are asked of it."""

    class Device:
        places: Sequence[str] = ()

        def __init__(self, ordinal: int) -> None:
            self.ordinal = ordinal

        @classmethod
        def count(cls) -> int:
            return len(cls.places)

        def pci_bus_id(self) -> str:
            return self.places[self.ordinal]

    def init(self) -> None:
        """As the real one, before all else."""


Cuda = Callable[..., FakeRuntime]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """A machine with both cards, on which CUDA sees what the test says."""
    monkeypatch.setattr(nvml, "gpus", lambda: (SLOW, FAST))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def sees(*places: str, library: str = memory.CUDA_PYTHON) -> FakeRuntime:
        runtime, pycuda = FakeRuntime(places), FakePyCuda()
        monkeypatch.setattr(FakePyCuda.Device, "places", places)
        monkeypatch.setitem(sys.modules, RUNTIME, runtime)
        monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda)
        monkeypatch.setattr(memory, "available", lambda: library)
        return runtime

    return sees


@pytest.mark.parametrize("library", [memory.CUDA_PYTHON, memory.PYCUDA])
def test_a_gpu_has_the_number_that_cuda_gives_it(library: str, cuda: Cuda) -> None:
    cuda(*FASTEST_FIRST, library=library)
    assert [memory.ordinal_of(gpu.pci_bus_id) for gpu in (SLOW, FAST)] == [1, 0]
    assert memory.ordinal_of("") == 0
    cuda(*reversed(FASTEST_FIRST), library=library)  # CUDA_DEVICE_ORDER=PCI_BUS_ID
    assert [memory.ordinal_of(gpu.pci_bus_id) for gpu in (SLOW, FAST)] == [0, 1]
    cuda(FASTEST_FIRST[1], library=library)  # CUDA_VISIBLE_DEVICES=1
    assert memory.ordinal_of(SLOW.pci_bus_id) == 0


def test_memory_is_on_that_gpu_and_goes_back_to_it_after_another_was_used(cuda: Cuda) -> None:
    runtime = cuda(*FASTEST_FIRST)
    slow, fast = memory.open_memory(SLOW.pci_bus_id), memory.open_memory(FAST.pci_bus_id)
    assert (slow.ordinal, fast.ordinal, slow.stream, fast.stream) == (1, 0, 41, 40)
    assert (slow.pci_bus_id(), fast.pci_bus_id()) == ("0000:01:00.0", "0000:0a:00.0")
    assert runtime.selected[-1] == fast.ordinal
    assert (slow.claim(8), fast.claim(8)) == (1001, 1000)


def test_a_gpu_that_is_hidden_from_cuda_is_refused(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(FASTEST_FIRST[0])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bb")
    told = (
        "CUDA does not see the Tesla T4 at 00000000:01:00.0 (gpu0): CUDA_VISIBLE_DEVICES=GPU-bb hides it. "
        "Run unset CUDA_VISIBLE_DEVICES, or --device gpu1 for the NVIDIA H100"
    )
    with pytest.raises(BackendUnavailable) as refused:
        memory.open_memory(SLOW.pci_bus_id)
    assert (str(refused.value), memory.unavailable_reason(SLOW.pci_bus_id), refused.value.exit_code) == (told, told, 5)
    assert memory.unavailable_reason(FAST.pci_bus_id) is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "Check that nvidia-smi lists it" in str(memory.unavailable_reason(SLOW.pci_bus_id))


def test_no_gpu_for_cuda_is_told(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    cuda()
    assert "CUDA_VISIBLE_DEVICES= hides it. Run unset CUDA_VISIBLE_DEVICES" in str(
        memory.unavailable_reason(SLOW.pci_bus_id)
    )
    cuda().trouble = 35
    assert "cudaGetDeviceCount on GPUs: cudaErrorInsufficientDriver." in str(memory.unavailable_reason(SLOW.pci_bus_id))


def test_onnxruntime_refuses_a_hidden_gpu_before_it_starts(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda(FASTEST_FIRST[0])
    monkeypatch.setattr(onnxruntime, "_has_nvidia_driver", lambda: True)
    monkeypatch.setattr(ort, "get_available_providers", lambda: [onnxruntime.CUDA])
    tried: list[int] = []

    def loads(provider: str, ordinal: int) -> bool:
        tried.append(ordinal)
        return True

    monkeypatch.setattr(onnxruntime, "_loads", loads)
    backend = onnxruntime.Backend()
    assert isinstance(backend, PicksGpu)
    assert "CUDA does not see the Tesla T4" in str(backend.on_gpu(SLOW.pci_bus_id).unavailable_reason())
    assert tried == []
    cuda(*FASTEST_FIRST)
    assert backend.on_gpu(SLOW.pci_bus_id).unavailable_reason() is None
    assert tried == [1]


@pytest.mark.parametrize("gpu", [SLOW, FAST])
def test_onnxruntimes_session_and_images_are_on_that_gpu(
    gpu: nvml.Gpu, cuda: Cuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ONNX Runtime is told; its CPU provider does the work in the GPU's place."""
    file = tmp_path / "net.onnx"
    export_onnx(nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 6, 6), file)
    runtime = cuda(*FASTEST_FIRST)
    number = {SLOW: 1, FAST: 0}[gpu]
    seen: list[Any] = []
    session, binding, value = ort.InferenceSession, ort.IOBinding, ort.OrtValue.ortvalue_from_numpy

    def on_the_cpu(path: str, options: Any, providers: Any) -> Any:
        seen.extend(providers)
        made = session(path, options, providers=[onnxruntime.CPU])
        monkeypatch.setattr(made, "get_providers", lambda: [onnxruntime.CUDA])
        return made

    def drawn(array: Any, device: str, ordinal: int) -> Any:
        seen.append((device, ordinal))
        return value(array, "cpu", 0)

    def bind_output(self: Any, name: str, device: str, ordinal: int) -> None:
        seen.append((device, ordinal))
        binding_output(self, name, "cpu", 0)

    binding_output = binding.bind_output
    monkeypatch.setattr(onnxruntime.Backend, "unavailable_reason", lambda self: None)
    monkeypatch.setattr(ort, "InferenceSession", on_the_cpu)
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_numpy", drawn)
    monkeypatch.setattr(binding, "bind_output", bind_output)
    onnxruntime.Backend().on_gpu(gpu.pci_bus_id).compile(file, CompileSpec(batch=2)).close()
    options = {"device_id": str(number), "user_compute_stream": str(40 + number), "use_tf32": "0"}
    assert seen == [(onnxruntime.CUDA, options), ("cuda", number), ("cuda", number)]
    assert runtime.selected == [number]


def test_memory_is_given_back_where_onnxruntime_refuses_a_file(
    cuda: Cuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.onnx"
    export_onnx(nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 6, 6), file)
    closed: list[int] = []
    runtime = cuda(*FASTEST_FIRST)

    def destroy(stream: int) -> tuple[int]:
        closed.append(stream)
        return (0,)

    monkeypatch.setattr(runtime, "cudaStreamDestroy", destroy)
    monkeypatch.setattr(onnxruntime.Backend, "unavailable_reason", lambda self: None)

    def refuses(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no kernel for it")

    monkeypatch.setattr(ort, "InferenceSession", refuses)
    with pytest.raises(NotOnnx, match="no kernel for it"):
        onnxruntime.Backend(onnxruntime.CUDA, SLOW.pci_bus_id).compile(file, CompileSpec(batch=2))
    assert closed == [41]


def test_tensorrt_describes_builds_and_runs_on_that_gpu(
    cuda: Cuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.onnx"
    export_onnx(nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 6, 6), file)
    runtime = cuda(*FASTEST_FIRST)
    built_on: list[int] = []

    def build(trt: Any, onnx: Path, *_: Any, **__: Any) -> Engine:
        built_on.append(runtime.selected[-1])
        return Engine(b"plan", "current", "tensorrt 11")

    monkeypatch.setattr(tensorrt, "build_engine", build)
    monkeypatch.setattr(tensorrt.Backend, "build_unavailable_reason", lambda self: None)
    monkeypatch.setattr(tensorrt.Backend, "_trt", lambda self: SimpleNamespace(ComputeCapability=None))
    ran_on: list[str] = []

    def session(trt: Any, plan: bytes, spec: CompileSpec, name: str, gpu: str) -> None:
        ran_on.append(gpu)
        raise EngineFailed("far enough")

    monkeypatch.setattr(tensorrt, "EngineSession", session)
    for gpu, number in ((SLOW, 1), (FAST, 0)):
        backend = tensorrt.Backend().on_gpu(gpu.pci_bus_id)
        assert backend.unavailable_reason() is None
        assert backend.build(file, CompileSpec(batch=2)).capability == gpu.capability
        assert built_on.pop() == number
        with pytest.raises(EngineFailed):
            backend.compile(file, CompileSpec(batch=2))
        assert ran_on.pop() == gpu.pci_bus_id
    assert tensorrt.Backend()._capability() == FAST.capability  # of what CUDA counts first
    cuda(FASTEST_FIRST[0])
    assert "CUDA does not see the Tesla T4" in str(tensorrt.Backend("tensorrt", SLOW.pci_bus_id).unavailable_reason())


def test_the_images_of_two_gpus_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    value = ort.OrtValue.ortvalue_from_numpy
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_numpy", lambda array, device, ordinal: value(array, "cpu", 0))
    one, other, same = (onnxruntime._drawn_images((2, 3), np.float32, "cuda", ordinal) for ordinal in (0, 1, 0))
    assert one is same
    assert one is not other
