"""EngineSession on a fake engine: device memory is host memory, and the engine doubles its input.

Running a real engine needs a GPU. test_gpu_bindings.py checks the attributes that the code uses on the real binding.
"""

import ctypes
import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exporters.backends import CompileSpec
from exporters.backends.tensorrt import Backend, EngineSession, layer_types
from exporters.cuda import memory, nvml
from exporters.cuda.device_memory import CaptureFailed
from exporters.errors import BackendUnavailable, EngineFailed


class HostMemory:
    """DeviceMemory on the host; work is done when it is put on the stream."""

    name, graphs, stream, ordinal = "host", True, 7, 0

    def __init__(self, captures: bool = True) -> None:
        self.buffers: dict[int, Any] = {}
        self.captures = captures
        self.closed = False

    def pci_bus_id(self) -> str:
        return "0000:00:00.0"

    def claim(self, size: int) -> int:
        buffer = ctypes.create_string_buffer(size)
        self.buffers[ctypes.addressof(buffer)] = buffer
        return ctypes.addressof(buffer)

    def free(self, pointer: int) -> None:
        del self.buffers[pointer]

    def upload(self, pointer: int, array: NDArray[Any]) -> None:
        assert array.nbytes == len(self.buffers[pointer]), "an upload fills what was claimed"
        ctypes.memmove(pointer, array.ctypes.data, array.nbytes)

    def download(self, array: NDArray[Any], pointer: int) -> None:
        ctypes.memmove(array.ctypes.data, pointer, array.nbytes)

    def synchronize(self) -> None:
        assert not self.closed

    def elapsed_ms(self, work: Callable[[], object]) -> float:
        work()
        return 1.0

    def capture(self, enqueue: Callable[[], object]) -> Callable[[], object]:
        if not self.captures:
            raise CaptureFailed("cudaErrorStreamCaptureUnsupported")
        return enqueue

    def close(self) -> None:
        assert not self.buffers, "all that was claimed was given back"
        self.closed = True


class Mode(Enum):
    INPUT = 0
    OUTPUT = 1


class Doubles:
    """An engine and its context: logits = 2 x images, both (batch, 3)."""

    num_io_tensors = 2
    most = 8  # of a dynamic batch

    def __init__(self, batch: int, kind: type[np.generic], layers: str) -> None:
        self.batch, self.kind, self.layers = batch, kind, layers
        self.addresses: dict[str, int] = {}
        self.fails = False

    def create_execution_context(self) -> "Doubles":
        return self

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda form: self.layers)

    def get_tensor_name(self, number: int) -> str:
        return ("images", "logits")[number]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "images" else Mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> type[np.generic]:
        return self.kind

    def get_tensor_shape(self, name: str) -> tuple[int, int]:
        return (self.batch, 3)

    def set_input_shape(self, name: str, shape: tuple[int, int]) -> bool:
        if shape[0] > self.most:
            return False
        self.batch = shape[0]
        return True

    def set_tensor_address(self, name: str, pointer: int) -> None:
        self.addresses[name] = pointer

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == HostMemory.stream
        size = self.batch * 3
        images, logits = (
            np.frombuffer((ctypes.c_char * (size * np.dtype(self.kind).itemsize)).from_address(at), self.kind)
            for at in (self.addresses["images"], self.addresses["logits"])
        )
        logits[:] = 2 * images
        return not self.fails


FLOAT_LAYERS = json.dumps({"Layers": [{"Name": "conv", "Outputs": [{"Format/Datatype": "Row major linear FP32"}]}]})


def session(
    monkeypatch: pytest.MonkeyPatch,
    batch: int = 4,
    built_for: int = 4,
    precision: str = "fp32",
    layers: str = FLOAT_LAYERS,
    captures: bool = True,
) -> tuple[EngineSession, HostMemory, Doubles]:
    gpu = HostMemory(captures)
    engine = Doubles(built_for, np.float16 if precision == "fp16" else np.float32, layers)
    monkeypatch.setattr(memory, "open_memory", lambda device: gpu)
    trt = ModuleType("tensorrt")
    vars(trt).update(
        __version__="11.4.0.106",
        ILogger=type("ILogger", (), {"Severity": SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)}),
        Runtime=lambda log: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine),
        TensorIOMode=Mode,
        LayerInformationFormat=SimpleNamespace(JSON="json"),
        nptype=lambda kind: kind,
    )
    return EngineSession(trt, b"plan", CompileSpec(batch, precision=precision), "model.engine"), gpu, engine


@pytest.mark.parametrize("images", [1, 4, 9])
def test_any_number_of_images_in_pieces_of_the_batch(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _, _ = session(monkeypatch)
    x = np.random.default_rng(images).standard_normal((images, 3), dtype=np.float32)
    found = made.run({"images": x})
    np.testing.assert_array_equal(found["logits"], 2 * x)
    assert found["logits"].dtype == np.float32


def test_half_goes_in_and_out_as_float(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = json.dumps({"Layers": [{"Outputs": [{"Format": "Linear", "DataType": "Half"}]}]})
    made, _, _ = session(monkeypatch, precision="fp16", layers=layers)
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(made.run({"images": x})["logits"], 2 * x, atol=1e-3)  # 11 bits of mantissa


def test_a_dynamic_engine_takes_the_batch_of_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _, _ = session(monkeypatch, batch=2, built_for=-1)
    assert made.run({"images": np.ones((2, 3), np.float32)})["logits"].shape == (2, 3)


def test_another_batch_than_it_was_built_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineFailed, match=r"model.engine was built for a batch of 4, not 8. Give --batch 4"):
        session(monkeypatch, batch=8)


def test_a_batch_outside_of_a_dynamic_engines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineFailed, match=r"model.engine was not built for a batch of 9. Give another --batch"):
        session(monkeypatch, batch=9, built_for=-1)


def test_all_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made, gpu, _ = session(monkeypatch)
    made.close()
    made.close()
    assert gpu.closed
    for use in (lambda: made.time(1.0), lambda: made.run({"images": np.ones((1, 3), np.float32)})):
        with pytest.raises(ValueError, match="this engine was closed"):
            use()


def test_times_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _, _ = session(monkeypatch)
    timing = made.time(2.0)
    assert timing.busy_ms_median == pytest.approx(1.0 / round(1.0 / timing.busy_ms_median))
    assert timing.noise_reason == ""


def test_what_can_not_be_captured_is_timed_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _, _ = session(monkeypatch, captures=False)
    assert made.time(2.0).noise_reason == (
        "model.engine cannot be captured as a CUDA graph (cudaErrorStreamCaptureUnsupported)"
    )


def test_a_failed_launch_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _, engine = session(monkeypatch)
    engine.fails = True
    with pytest.raises(EngineFailed, match=r"model.engine failed on the GPU"):
        made.run({"images": np.ones((1, 3), np.float32)})


@pytest.mark.parametrize(("asked", "kind"), [("fp32", "Half"), ("fp16", "Float"), ("int8", "Half")])
def test_an_engine_of_another_precision_is_refused(asked: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = json.dumps({"Layers": [{"Inputs": [], "Outputs": [{"Format": "Linear", "DataType": kind}]}]})
    with pytest.raises(EngineFailed, match=r"model.engine (has no layer in|computes in)"):
        session(monkeypatch, precision=asked, layers=layers)


@pytest.mark.parametrize(
    ("information", "types"),
    [
        (FLOAT_LAYERS, {"float"}),
        (json.dumps({"Layers": [{"Outputs": [{"Format/Datatype": "Channel major FP16 format"}]}]}), {"half"}),
        (json.dumps({"Layers": ["conv + relu"]}), set()),  # names only: it was built without details
        ("", set()),
    ],
)
def test_data_types_of_layers(information: str, types: set[str]) -> None:
    assert layer_types(information) == types


@pytest.mark.parametrize(
    ("name", "capability", "last"),
    [
        ("NVIDIA TITAN Xp", "6.1", "; the last TensorRT for it is 8.6"),
        ("Tesla V100-SXM2-16GB", "7.0", "; the last TensorRT for it is 10.4"),
        ("GeForce GTX 780", "3.5", ""),  # before those that people still ask for
    ],
)
def test_an_old_gpu_is_told_which_tensorrt_was_its_last(
    name: str, capability: str, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = nvml.Gpu(0, name, "GPU-1", "0000:01:00.0", capability, "580.65, CUDA 12.9", 12 << 30)
    monkeypatch.setattr(nvml, "gpus", lambda: (gpu,))
    reason = Backend("tensorrt_rtx").unavailable_reason()
    assert reason is not None
    assert f"{name} has compute capability {capability}, and tensorrt_rtx takes 7.5 and later{last}. Use" in reason
    assert "--backend onnxruntime, in a build of onnxruntime-gpu for CUDA 12" in reason


def test_no_gpu_is_told_by_every_door(tmp_path: Path) -> None:
    if nvml.gpus():
        pytest.skip("there is a GPU here")
    assert nvml.clocks_of("0000:01:00.0") == "unknown"
    if memory.unavailable_reason() is None:
        with pytest.raises(BackendUnavailable, match=r"GPU 0: cuda|GPU 0 can't be used"):
            memory.open_memory()
