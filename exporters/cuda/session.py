"""A loaded engine: runs and times batches on an NVIDIA GPU.

An engine has the types of its ONNX file, and runs as one CUDA graph. Other batch sizes run in pieces of its batch,
padded with zeros; images are independent of each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.cuda import compute_capability, memory
from exporters.cuda.device_memory import CaptureFailed, DeviceMemory, Enqueue
from exporters.cuda.features import features_of_module
from exporters.cuda.timing import GpuTimer
from exporters.cuda.trt_logger import logger_of
from exporters.errors import EngineFailed
from exporters.timing import Timing

# names of trt.DataType; the function nptype of TensorRT 8.6 fails with some versions of numpy
NUMPY_TYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {"FLOAT": np.dtype(np.float32), "HALF": np.dtype(np.float16), "INT32": np.dtype(np.int32)}
)


@dataclass(frozen=True)
class EngineRun:
    """How an engine is to run.

    Args:
        batch: images in a call that is timed.
        precision: that it must compute in; any, if it is none of fp32, fp16 and int8.
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA.
    """

    batch: int
    precision: str = "fp32"
    gpu: str = ""


class EngineSession:
    """A loaded engine with a random input batch on the GPU.

    Args:
        plan: the content of the engine's file.
        name: of the engine, in messages.
    """

    def __init__(self, trt: ModuleType, plan: bytes, name: str, run: EngineRun) -> None:
        self._trt = trt
        self._name = name
        self._batch = run.batch
        self._pointers: dict[str, int] = {}
        self._timer: GpuTimer | None = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._gpu: DeviceMemory | None = memory.open_memory(run.gpu)
        try:
            self._load(plan)
            self._require_precision(run.precision)
            self._context = self._execution_context()
            self._bind()
        except Exception:
            self.close()
            raise

    def _load(self, plan: bytes) -> None:
        trt, log = self._trt, logger_of(self._trt)
        log.clear()
        self._runtime = trt.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineFailed(
                f"{trt.__name__} {trt.__version__} cannot load {self._name}: {self._reason()}. An engine runs with the "
                f"TensorRT and on the kind of GPU that it was built for: build it again with nastool export --engine"
            )

    def _reason(self) -> str:
        return next(iter(logger_of(self._trt).errors), "no reason was given")

    def run(self, feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        gpu, size = self._open(), self._batch
        images = len(next(iter(feeds.values())))
        outputs: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self._names(self._output)}
        for start in range(0, images, size):
            for name, array in feeds.items():
                piece = array[start : start + size].astype(self._type(name))
                filler = np.zeros((size - len(piece), *piece.shape[1:]), piece.dtype)
                gpu.upload(self._pointers[name], np.ascontiguousarray(np.concatenate((piece, filler))))
            self._enqueue()
            for name, pieces in outputs.items():
                array = np.empty(self._shape(name), self._type(name))
                gpu.download(array, self._pointers[name])
                pieces.append(array[: images - start].astype(np.float32))
        return {name: np.concatenate(pieces) for name, pieces in outputs.items()}

    def time(self, min_ms: float) -> Timing:
        gpu = self._open()
        if self._timer is None:
            launch, trouble = self._launch(gpu)
            self._timer = GpuTimer(gpu, launch, noise_reason=trouble)
        return self._timer.time(min_ms)

    def close(self) -> None:
        """Release everything in the order of its dependence: context, engine, runtime, then memory and stream."""
        if self._gpu is None:
            return
        gpu, self._gpu = self._gpu, None
        gpu.synchronize()
        self._timer = None
        self._context = None
        self._engine = None
        self._runtime = None
        for pointer in self._pointers.values():
            gpu.free(pointer)
        gpu.close()

    def layers(self) -> str:
        """The engine inspector's JSON description of all layers."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def _open(self) -> DeviceMemory:
        if self._gpu is None:
            raise ValueError("this engine was closed. Compile the file again")
        return self._gpu

    def _launch(self, gpu: DeviceMemory) -> tuple[Enqueue, str]:
        """The function to time, and why its latency is unreliable; empty if it is reliable."""
        try:
            return gpu.capture(self._enqueue), ""
        except CaptureFailed as problem:
            return self._enqueue, f"{self._name} cannot be captured as a CUDA graph ({problem})"

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._open().stream):
            raise EngineFailed(
                f"{self._name} failed on the GPU: {'; '.join(logger_of(self._trt).errors)}. Build it again"
            )

    def _execution_context(self) -> Any:
        if features_of_module(self._trt).builds_without_gpu:
            context = compute_capability.execution_context(self._trt, self._engine)
        else:
            context = self._engine.create_execution_context()
        if context is None:
            raise EngineFailed(
                f"{self._name} cannot be prepared on the GPU: {self._reason()}. Close other programs on it, or use a "
                f"smaller batch"
            )
        return context

    def _bind(self) -> None:
        """Upload random inputs, since zeros would be faster than real images, and allocate the outputs."""
        gpu, rng = self._open(), np.random.default_rng(0)
        inputs = self._names(self._trt.TensorIOMode.INPUT)
        for name in inputs:
            shape = tuple(self._engine.get_tensor_shape(name))
            if shape[0] < 0:
                if not self._context.set_input_shape(name, (self._batch, *shape[1:])):
                    raise EngineFailed(
                        f"{self._name} was not built for a batch of {self._batch}. Give another --batch, or build it "
                        f"again with nastool export --batch {self._batch}"
                    )
            elif shape[0] != self._batch:
                raise EngineFailed(
                    f"{self._name} was built for a batch of {shape[0]}, not {self._batch}. Give --batch {shape[0]}"
                )
        for name in (*inputs, *self._names(self._output)):
            shape, kind = self._shape(name), self._type(name)
            self._pointers[name] = gpu.claim(max(1, prod(shape)) * kind.itemsize)
            self._context.set_tensor_address(name, self._pointers[name])
            if name in inputs:
                gpu.upload(self._pointers[name], rng.standard_normal(shape, dtype=np.float32).astype(kind))

    @property
    def _output(self) -> Any:
        return self._trt.TensorIOMode.OUTPUT

    def _names(self, mode: Any) -> list[str]:
        names = [self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)]
        return [name for name in names if self._engine.get_tensor_mode(name) == mode]

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._context.get_tensor_shape(name))

    def _type(self, name: str) -> np.dtype[Any]:
        return NUMPY_TYPES[self._engine.get_tensor_dtype(name).name]

    def _require_precision(self, precision: str) -> None:
        """Refuse an engine whose layers have other types, as far as the inspector lists them."""
        types = layer_types(self.layers())
        expected = {"fp16": "half", "int8": "int8"}.get(precision)
        listed = ", ".join(sorted(types))
        if types and expected and not any(expected in layer_type for layer_type in types):
            raise EngineFailed(f"{self._name} has no layer in {precision}, only {listed}. Build it again")
        if precision == "fp32" and types & {"half", "int8", "bfloat16", "fp8"}:
            raise EngineFailed(f"{self._name} computes in {listed}, not in fp32. Build it again")


def layer_types(information: str) -> set[str]:
    """The data types in an engine inspector's JSON, e.g. `float`, `half`, `int8`.

    TensorRT 10 writes `"Format/Datatype": "Row major linear FP32 format"`, TensorRT 11 `"DataType": "Float"`.
    """
    words = {"fp32": "float", "fp16": "half", "float": "float", "half": "half", "int8": "int8", "fp8": "fp8"}
    words |= {"bf16": "bfloat16", "bfloat16": "bfloat16"}
    types: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                if key.lower().endswith("datatype") and isinstance(item, str):
                    types.update(words[word] for word in item.lower().split() if word in words)
                else:
                    walk(item)

    with suppress(ValueError):  # without a driver or detailed layers, the inspector returns no JSON
        walk(json.loads(information))
    return types
