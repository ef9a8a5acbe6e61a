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

from exporters.cuda import memory, nvml
from exporters.cuda.device_memory import CaptureFailed
from exporters.cuda.session import NUMPY_TYPES, EngineRun, EngineSession, layer_types
from exporters.errors import BackendUnavailable, EngineFailed


class HostMemory:
    """DeviceMemory on the host; enqueued work runs at once."""

    name, stream, ordinal = "host", 7, 0

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
        assert array.nbytes == len(self.buffers[pointer]), "an upload fills the allocation"
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
        assert not self.buffers, "all memory is freed"
        self.closed = True


class Mode(Enum):
    INPUT = 0
    OUTPUT = 1


class DoublingEngine:
    """An engine and its context: logits = 2 x images, both (batch, 3)."""

    num_io_tensors = 2
    max_batch = 8  # of a dynamic engine

    def __init__(self, batch: int, dtype: type[np.generic], layers: str) -> None:
        self.batch, self.dtype, self.layers = batch, dtype, layers
        self.addresses: dict[str, int] = {}
        self.fails = False

    def create_execution_context(self) -> "DoublingEngine":
        return self

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda form: self.layers)

    def get_tensor_name(self, number: int) -> str:
        return ("images", "logits")[number]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "images" else Mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=next(kind for kind, dtype in NUMPY_TYPES.items() if dtype == self.dtype))

    def get_tensor_shape(self, name: str) -> tuple[int, int]:
        return (self.batch, 3)

    def set_input_shape(self, name: str, shape: tuple[int, int]) -> bool:
        if shape[0] > self.max_batch:
            return False
        self.batch = shape[0]
        return True

    def set_tensor_address(self, name: str, pointer: int) -> None:
        self.addresses[name] = pointer

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == HostMemory.stream
        size = self.batch * 3
        images, logits = (
            np.frombuffer((ctypes.c_char * (size * np.dtype(self.dtype).itemsize)).from_address(at), self.dtype)
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
) -> tuple[EngineSession, HostMemory, DoublingEngine]:
    gpu = HostMemory(captures)
    engine = DoublingEngine(built_for, np.float16 if precision == "fp16" else np.float32, layers)
    monkeypatch.setattr(memory, "open_memory", lambda device: gpu)
    trt = ModuleType("tensorrt")
    vars(trt).update(
        __version__="11.4.0.106",
        ILogger=type("ILogger", (), {"Severity": SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)}),
        Runtime=lambda log: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine),
        TensorIOMode=Mode,
        LayerInformationFormat=SimpleNamespace(JSON="json"),
    )
    return EngineSession(trt, b"plan", "model.engine", EngineRun(batch, precision)), gpu, engine


@pytest.mark.parametrize("images", [1, 4, 9])
def test_images_are_split_into_batches(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    engine_session, _, _ = session(monkeypatch)
    x = np.random.default_rng(images).standard_normal((images, 3), dtype=np.float32)
    outputs = engine_session.run({"images": x})
    np.testing.assert_array_equal(outputs["logits"], 2 * x)
    assert outputs["logits"].dtype == np.float32


def test_inputs_and_outputs_of_fp16_are_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = json.dumps({"Layers": [{"Outputs": [{"Format": "Linear", "DataType": "Half"}]}]})
    engine_session, _, _ = session(monkeypatch, precision="fp16", layers=layers)
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(engine_session.run({"images": x})["logits"], 2 * x, atol=1e-3)  # 11 bits of mantissa


def test_dynamic_engine_uses_the_batch_of_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_session, _, _ = session(monkeypatch, batch=2, built_for=-1)
    assert engine_session.run({"images": np.ones((2, 3), np.float32)})["logits"].shape == (2, 3)


def test_batch_of_a_static_engine_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineFailed, match=r"model.engine was built for a batch of 4, not 8. Give --batch 4"):
        session(monkeypatch, batch=8)


def test_batch_outside_the_range_of_a_dynamic_engine_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineFailed, match=r"model.engine was not built for a batch of 9. Give another --batch"):
        session(monkeypatch, batch=9, built_for=-1)


def test_close_frees_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_session, gpu, _ = session(monkeypatch)
    engine_session.close()
    engine_session.close()
    assert gpu.closed
    for use in (lambda: engine_session.time(1.0), lambda: engine_session.run({"images": np.ones((1, 3), np.float32)})):
        with pytest.raises(ValueError, match="this engine was closed"):
            use()


class Tracked:
    """Passes everything on to `target`, and records when it is released."""

    def __init__(self, name: str, target: Any, released: list[str]) -> None:
        self.name, self.target, self.released = name, target, released

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def __del__(self) -> None:
        self.released.append(self.name)


def test_close_releases_in_the_order_of_dependence(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[str] = []
    engine_session, gpu, engine = session(monkeypatch)
    engine_session._context = Tracked("context", engine, released)
    engine_session._engine = Tracked("engine", engine, released)
    engine_session._runtime = Tracked("runtime", engine, released)
    monkeypatch.setattr(gpu, "close", lambda: released.append("stream"))
    engine_session.close()
    assert released == ["context", "engine", "runtime", "stream"]


def test_memory_is_released_if_the_engine_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[HostMemory] = []
    monkeypatch.setattr(HostMemory, "close", lambda self: closed.append(self))
    monkeypatch.setattr(DoublingEngine, "create_execution_context", lambda self: None)
    with pytest.raises(EngineFailed, match=r"model.engine cannot be prepared on the GPU: no reason was given. Close"):
        session(monkeypatch)
    assert len(closed) == 1


def test_time_measures_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_session, _, _ = session(monkeypatch)
    timing = engine_session.time(2.0)
    assert timing.busy_ms_median == pytest.approx(1.0 / round(1.0 / timing.busy_ms_median))
    assert timing.noise_reason == ""


def test_timing_without_a_cuda_graph_has_a_noise_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_session, _, _ = session(monkeypatch, captures=False)
    assert engine_session.time(2.0).noise_reason == (
        "model.engine cannot be captured as a CUDA graph (cudaErrorStreamCaptureUnsupported)"
    )


def test_failed_launch_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine_session, _, engine = session(monkeypatch)
    engine.fails = True
    with pytest.raises(EngineFailed, match=r"model.engine failed on the GPU"):
        engine_session.run({"images": np.ones((1, 3), np.float32)})


@pytest.mark.parametrize(("precision", "layer_type"), [("fp32", "Half"), ("fp16", "Float"), ("int8", "Half")])
def test_engine_of_a_different_precision_is_an_error(
    precision: str, layer_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = json.dumps({"Layers": [{"Inputs": [], "Outputs": [{"Format": "Linear", "DataType": layer_type}]}]})
    with pytest.raises(EngineFailed, match=r"model.engine (has no layer in|computes in)"):
        session(monkeypatch, precision=precision, layers=layers)


@pytest.mark.parametrize(
    ("information", "types"),
    [
        (FLOAT_LAYERS, {"float"}),
        (json.dumps({"Layers": [{"Outputs": [{"Format/Datatype": "Channel major FP16 format"}]}]}), {"half"}),
        (json.dumps({"Layers": ["conv + relu"]}), set()),  # an engine without layer details has only names
        ("", set()),
    ],
)
def test_data_types_of_layers(information: str, types: set[str]) -> None:
    assert layer_types(information) == types


def test_no_gpu_on_this_machine(tmp_path: Path) -> None:
    if nvml.gpus():
        pytest.skip("this machine has a GPU")
    assert nvml.clocks_of("0000:01:00.0") == "unknown"
    if memory.unavailable_reason() is None:
        with pytest.raises(BackendUnavailable, match=r"GPU 0: cuda|GPU 0 cannot be used"):
            memory.open_memory()
