"""The chosen GPU is used although NVML and CUDA number GPUs differently.

The choice is tested by its pure functions. `CudaPython` runs on a fake `cuda.bindings.runtime` with two GPUs;
test_gpu_bindings.py checks the attributes that the code uses on the real one.
"""

# ruff: noqa: N802, N815 - the names are CUDA's

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, save_model

from exporters.agent.session import random_images
from exporters.backends import CompileSpec, PicksGpu, onnxruntime, tensorrt
from exporters.cuda import memory, nvml, onnxruntime_gpu
from exporters.cuda.cuda_python import RUNTIME, CudaPython
from exporters.errors import BackendUnavailable, NotOnnx

SLOW = nvml.Gpu(0, "Tesla T4", "GPU-aa", "00000000:01:00.0", "7.5", "580.65, CUDA 13.0", 16 << 30)
FAST = nvml.Gpu(1, "NVIDIA H100", "GPU-bb", "00000000:0A:00.0", "9.0", "580.65, CUDA 13.0", 80 << 30)
FASTEST_FIRST = ("0000:0a:00.0", "0000:01:00.0")  # CUDA's default order


VISIBLE = {
    "fastest first": (("0000:0a:00.0", "0000:01:00.0"), 1, 0),
    "bus order": (("0000:01:00.0", "0000:0a:00.0"), 0, 1),
    "CUDA_VISIBLE_DEVICES=1": (("0000:01:00.0",), 0, None),
    "none": ((), None, None),
}


@pytest.mark.parametrize(("visible", "slow", "fast"), VISIBLE.values(), ids=VISIBLE)
def test_gpu_position_by_pci_bus_id(visible: tuple[str, ...], slow: int | None, fast: int | None) -> None:
    """NVML writes eight digits for the domain and upper case, CUDA four digits and lower case."""
    assert memory.position_of("00000000:01:00.0", visible) == slow
    assert memory.position_of("00000000:0A:00.0", visible) == fast


def test_message_for_a_gpu_that_cuda_does_not_see() -> None:
    both = (SLOW, FAST)
    assert memory.not_visible(SLOW.pci_bus_id, ("0000:0a:00.0",), both, "GPU-bb") == (
        "CUDA does not see the Tesla T4 at 00000000:01:00.0 (gpu0): CUDA_VISIBLE_DEVICES=GPU-bb hides it. "
        "Run unset CUDA_VISIBLE_DEVICES, or --device gpu1 for the NVIDIA H100"
    )
    assert memory.not_visible("0000:07:00.0", (), both, None) == (
        "CUDA does not see the GPU at 0000:07:00.0. Check that nvidia-smi lists it and that this user may use it"
    )


@pytest.mark.parametrize(
    ("pci_bus_id", "visible", "expected"),
    [
        ("0000:01:00.0", (), SLOW),
        ("0000:0a:00.0", (), FAST),
        ("0000:01:00.0", FASTEST_FIRST, SLOW),
        ("0000:07:00.0", (), None),
        ("", FASTEST_FIRST, FAST),  # the first GPU of CUDA
        ("", ("0000:01:00.0",), SLOW),
        ("", (), SLOW),  # CUDA gives no order
    ],
)
def test_gpu_description_is_that_of_the_chosen_gpu(
    pci_bus_id: str, visible: tuple[str, ...], expected: nvml.Gpu | None
) -> None:
    assert memory.gpu_at(pci_bus_id, visible, (SLOW, FAST)) == expected


def test_no_gpu_is_described_on_a_machine_without_one() -> None:
    assert memory.gpu_at("", (), ()) is None


@pytest.mark.parametrize("backend", [onnxruntime.Backend(), tensorrt.Backend()])
def test_backends_keep_the_chosen_gpu(backend: Any) -> None:
    assert isinstance(backend, PicksGpu)
    assert backend.on_gpu("0000:01:00.0").gpu == "0000:01:00.0"  # type: ignore[attr-defined]
    assert backend.gpu == ""


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (onnxruntime.CUDA, {"device_id": "1", "user_compute_stream": "41", "use_tf32": "0"}),
        (onnxruntime.TENSORRT, {"device_id": "1", "user_compute_stream": "41"}),
    ],
)
def test_onnxruntime_provider_options_name_the_gpu_and_its_stream(provider: str, expected: dict[str, str]) -> None:
    gpu: Any = SimpleNamespace(ordinal=1, stream=41)
    assert onnxruntime_gpu._provider_options(provider, gpu) == expected


class FakeRuntime(SimpleNamespace):
    """`cuda.bindings.runtime` with GPUs at the given PCI bus ids; it records the selected GPUs."""

    cudaError_t = SimpleNamespace(cudaSuccess=0, cudaErrorNoDevice=100)
    cudaDeviceScheduleSpin = cudaStreamNonBlocking = 1

    def __init__(self, bus_ids: Sequence[str]) -> None:
        self.bus_ids = bus_ids
        self.selected: list[int] = []
        self.error = 0 if bus_ids else 100

    def cudaGetDeviceCount(self) -> tuple[int, int]:
        return self.error, len(self.bus_ids)

    def cudaDeviceGetPCIBusId(self, size: int, ordinal: int) -> tuple[int, bytes]:
        return 0, self.bus_ids[ordinal].encode().ljust(size, b"\0")

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


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime(FASTEST_FIRST)
    monkeypatch.setitem(sys.modules, RUNTIME, fake)  # type: ignore[arg-type]
    return fake


def test_cuda_python_lists_bus_ids_in_the_order_of_cuda(runtime: FakeRuntime) -> None:
    assert CudaPython.bus_ids() == ("0000:0a:00.0", "0000:01:00.0")
    runtime.bus_ids, runtime.error = (), 100  # cudaErrorNoDevice, also if CUDA_VISIBLE_DEVICES hides all
    assert CudaPython.bus_ids() == ()


def test_cuda_python_reports_an_error_of_the_driver(runtime: FakeRuntime) -> None:
    runtime.error = 35
    with pytest.raises(BackendUnavailable, match="cudaGetDeviceCount on GPUs: cudaErrorInsufficientDriver") as error:
        CudaPython.bus_ids()
    assert error.value.exit_code == 5


def test_cuda_python_allocates_on_its_gpu_after_another_gpu_was_selected(runtime: FakeRuntime) -> None:
    slow, fast = CudaPython(1), CudaPython(0)
    assert (slow.stream, fast.stream) == (41, 40)
    assert (slow.pci_bus_id(), fast.pci_bus_id()) == ("0000:01:00.0", "0000:0a:00.0")
    assert runtime.selected[-1] == 0
    assert (slow.claim(8), fast.claim(8)) == (1001, 1000)


@pytest.mark.skipif(memory.available() != memory.CUDA_PYTHON, reason="cuda-python is not the installed library")
def test_memory_is_opened_by_pci_bus_id(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.open_memory("00000000:01:00.0").ordinal == 1
    assert memory.open_memory("").ordinal == 0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(BackendUnavailable, match=r"CUDA does not see the GPU at 0000:07:00\.0"):
        memory.open_memory("0000:07:00.0")
    assert "CUDA does not see the GPU at 0000:07:00.0" in str(memory.unavailable_reason("0000:07:00.0"))


@pytest.mark.parametrize(
    ("installed", "library", "reason"),
    [
        ({"cuda", "cuda.bindings", "pycuda"}, "cuda-python", None),
        ({"pycuda"}, "pycuda", "pycuda has no CUDA graphs, so latencies include the launch of each kernel. Run pip"),
        (set(), None, "neither cuda-python nor pycuda is installed. Run pip install cuda-bindings"),
    ],
)
def test_the_library_with_cuda_graphs_is_preferred(
    installed: set[str], library: str | None, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "find_spec", lambda name: name if name in installed else None)
    assert memory.available() == library
    given = memory.no_graphs_reason()
    assert given is None if reason is None else str(given).startswith(reason)


def test_memory_is_released_if_onnxruntime_rejects_the_model(
    runtime: FakeRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("NoSuchOperator", ["x"], ["y"], domain="custom")], "net", [x], [y])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("custom", 1)]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "net.onnx")
    gpu, closed = CudaPython(1), []
    monkeypatch.setattr(gpu, "close", lambda: closed.append(gpu.stream))
    monkeypatch.setattr(memory, "open_memory", lambda pci_bus_id: gpu)
    monkeypatch.setattr(onnxruntime.Backend, "unavailable_reason", lambda self: None)
    with pytest.raises(NotOnnx, match="onnxruntime cannot run"):
        onnxruntime.Backend(onnxruntime.CUDA, "0000:01:00.0").compile(tmp_path / "net.onnx", CompileSpec(batch=1))
    assert closed == [41]


def test_input_images_are_shared_only_on_the_same_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    create = ort.OrtValue.ortvalue_from_numpy
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_numpy", lambda array, device, ordinal: create(array, "cpu", 0))
    first, second, again = (random_images((2, 3), np.float32, "cuda", ordinal) for ordinal in (0, 1, 0))
    assert first is again
    assert first is not second
