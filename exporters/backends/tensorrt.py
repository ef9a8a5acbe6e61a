"""Engines on an NVIDIA GPU: TensorRT 10 and 11, and TensorRT-RTX by the same code.

What a call computes is what was built: a static batch, the types that the ONNX file has, one CUDA graph. Other
batches are run in pieces of that size, filled up with zeros; images don't depend on each other.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.backends import Arrays, CompileSpec
from exporters.cuda import memory, nvml
from exporters.cuda.device_memory import CaptureFailed, DeviceMemory, Enqueue
from exporters.cuda.engine import CURRENT, BatchRange, Engine, build_engine, is_classic, logger_of
from exporters.cuda.plans import SUFFIX
from exporters.cuda.timing import GpuTimer
from exporters.errors import BackendUnavailable, EngineFailed
from exporters.files import cache_folder
from exporters.graph.model import Model, as_model, require_precision
from exporters.timing import Timing

LEAST_SM = {"tensorrt": 75, "tensorrt_rtx": 75}  # support matrices of TensorRT 10 and 11, and of TensorRT-RTX 1.7
# Release notes of 8.6 (Maxwell removed, Pascal deprecated) and of 10.5 (Volta removed); JetPack 5.1 is Xavier's last
LAST_TENSORRT = {50: "8.5", 52: "8.5", 60: "8.6", 61: "8.6", 70: "10.4", 72: "8.5"}
INSTALL = {"tensorrt": "pip install 'nastool[gpu]'", "tensorrt_rtx": "pip install tensorrt-rtx-cu13"}


class Backend:
    """TensorRT, or the module of the same API that is named.

    Args:
        module: `tensorrt` or `tensorrt_rtx`; rows of the two are never mixed.
        gpu: its PCI bus id; "" for the one that CUDA counts first.
    """

    def __init__(self, module: str = "tensorrt", gpu: str = "") -> None:
        self.name = module
        self.gpu = gpu

    def on_gpu(self, pci_bus_id: str) -> "Backend":
        """The same module on that GPU."""
        return Backend(self.name, pci_bus_id)

    @property
    def provider(self) -> str:
        """How calls are launched; through pycuda there are no graphs, and then the host's launches count."""
        library = memory.available() or "no device memory"
        return f"CUDA graph, {library}" if library == memory.CUDA_PYTHON else f"stream, {library}"

    def unavailable_reason(self) -> str | None:
        return self.build_unavailable_reason() or self._why_no_gpu()

    def build_unavailable_reason(self) -> str | None:
        """Why no engine can be built here. TensorRT-RTX needs no GPU for it."""
        if find_spec(self.name) is None:
            return f"{self.name} is not installed. Run {INSTALL[self.name]}"
        try:
            import_module(self.name)
        except (ImportError, OSError, RuntimeError) as problem:
            return f"{self.name} can't be loaded: {problem}. Run {INSTALL[self.name]} again"
        return None if not is_classic(self._trt()) else self._why_no_gpu()

    def version(self) -> str:
        return str(self._trt().__version__)

    def build(self, onnx: Path | Model, spec: CompileSpec, capability: str = CURRENT) -> Engine:
        """The engine of a file.

        Raises:
            NotOnnx: the file can't be read.
            EngineFailed: the parser or the builder refuses it.
            BackendUnavailable: nothing can be built here.
            WrongPrecision: the file is of another precision than the spec's.
        """
        model = as_model(onnx)
        if reason := self.build_unavailable_reason():
            raise BackendUnavailable(f"{self.name} can't build {model.path.name} here: {reason}")
        require_precision(model, spec.precision)
        batch = BatchRange(*spec.batches) if spec.batches else BatchRange.static(spec.batch)
        with self._selected() if capability == CURRENT and nvml.gpus() else nullcontext():
            engine = build_engine(self._trt(), model.path, batch, capability, self._timing_cache(), detailed=True)
        return replace(engine, capability=self._capability()) if capability == CURRENT else engine

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> "EngineSession":
        """Build a file, or take the engine that it is.

        Raises:
            EngineFailed: also where an engine is of another TensorRT or GPU.
        """
        model = as_model(onnx)
        path, plan = model.path, b""
        if path.suffix == SUFFIX:
            if not path.exists():
                raise EngineFailed(f"{path} does not exist. Run nastool export --engine, or name another file")
            plan = path.read_bytes()
        else:
            _ = model.proto  # an invalid file is reported even if TensorRT is not available
        if reason := self.unavailable_reason():
            raise BackendUnavailable(f"{self.name} can't run {path.name} here: {reason}")
        return EngineSession(self._trt(), plan or self.build(model, spec).plan, spec, path.name, self.gpu)

    def _timing_cache(self) -> Path | None:
        """One file a GPU and version: what was measured of tactics once is taken again, so engines stay alike."""
        if not is_classic(self._trt()):
            return None
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"tensorrt-{self.version()}-sm{self._capability().replace('.', '')}.timing"

    @contextmanager
    def _selected(self) -> Iterator[None]:
        """A builder times tactics on the GPU that is CUDA's current one; here it is ours."""
        gpu = memory.open_memory(self.gpu)
        try:
            yield
        finally:
            gpu.close()

    def _capability(self) -> str:
        gpu = self._described()
        return gpu.capability if gpu else CURRENT

    def _described(self) -> nvml.Gpu | None:
        """What NVML knows of our GPU, whatever number it has there."""
        gpus = nvml.gpus()
        visible: tuple[str, ...] = ()
        if not self.gpu and len(gpus) > 1:
            with suppress(BackendUnavailable):  # no library, or no driver
                visible = memory.bus_ids()
        return memory.gpu_at(self.gpu, visible, gpus)

    def _trt(self) -> ModuleType:
        return import_module(self.name)

    def _why_no_gpu(self) -> str | None:
        gpu = self._described()
        if gpu is None:
            return "there is no NVIDIA GPU with its driver on this machine. Use one that has it"
        if gpu.sm < LEAST_SM[self.name]:
            last = LAST_TENSORRT.get(gpu.sm)
            ended = f"; the last TensorRT for it is {last}" if last else ""
            return (
                f"{gpu.name} has compute capability {gpu.capability}, and {self.name} takes 7.5 and later{ended}. "
                f"Use --backend onnxruntime, in a build of onnxruntime-gpu for CUDA 12: CUDA 13 has dropped it too"
            )
        return memory.unavailable_reason(self.gpu)


class EngineSession:
    """A loaded engine with a drawn batch of inputs, in place on the GPU."""

    def __init__(self, trt: ModuleType, plan: bytes, spec: CompileSpec, name: str, gpu: str = "") -> None:
        self._gpu: DeviceMemory | None = memory.open_memory(gpu)
        self._trt = trt
        self._name = name
        log = logger_of(trt)
        log.clear()
        self._runtime = trt.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            reason = next(iter(log.errors), "it gave no reason")
            raise EngineFailed(
                f"{trt.__name__} {trt.__version__} can't load {name}: {reason}. An engine runs with the TensorRT "
                f"and on the kind of GPU that it was built for: build it again with nastool export --engine"
            )
        self._require_precision(spec.precision)
        self._context = self._execution_context()
        self._batch = spec.batch
        self._pointers: dict[str, int] = {}
        self._bind()
        self._timer: GpuTimer | None = None

    def run(self, feeds: Arrays) -> dict[str, NDArray[np.float32]]:
        gpu, size = self._open(), self._batch
        images = len(next(iter(feeds.values())))
        pieces: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self._names(self._output)}
        for start in range(0, images, size):
            for name, array in feeds.items():
                piece = array[start : start + size].astype(self._type(name))
                filler = np.zeros((size - len(piece), *piece.shape[1:]), piece.dtype)
                gpu.upload(self._pointers[name], np.ascontiguousarray(np.concatenate((piece, filler))))
            self._enqueue()
            for name, found in pieces.items():
                array = np.empty(self._shape(name), self._type(name))
                gpu.download(array, self._pointers[name])
                found.append(array[: images - start].astype(np.float32))
        return {name: np.concatenate(found) for name, found in pieces.items()}

    def time(self, min_ms: float) -> Timing:
        gpu = self._open()
        if self._timer is None:
            launch, trouble = self._launch(gpu)
            self._timer = GpuTimer(gpu, launch, noise_reason=trouble)
        return self._timer.time(min_ms)

    def close(self) -> None:
        if self._gpu is None:
            return
        gpu, self._gpu = self._gpu, None
        gpu.synchronize()
        for pointer in self._pointers.values():
            gpu.free(pointer)
        gpu.close()
        del self._context, self._engine, self._runtime  # in this order: each holds on to the next

    def layers(self) -> str:
        """What the engine inspector tells of each layer, as JSON."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def _open(self) -> DeviceMemory:
        if self._gpu is None:
            raise ValueError("this engine was closed. Compile the file again")
        return self._gpu

    def _launch(self, gpu: DeviceMemory) -> tuple[Enqueue, str]:
        """What is timed, and what is wrong with that."""
        try:
            return gpu.capture(self._enqueue), ""
        except CaptureFailed as problem:
            return self._enqueue, f"{self._name} can't be captured as a CUDA graph ({problem})"

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._open().stream):
            raise EngineFailed(
                f"{self._name} failed on the GPU: {'; '.join(logger_of(self._trt).errors)}. Build it again"
            )

    def _execution_context(self) -> Any:
        if is_classic(self._trt):
            return self._engine.create_execution_context()
        runtime_config = self._engine.create_runtime_config()
        # lazily, kernels would be replaced by quicker ones while the first calls are timed
        strategy = self._trt.DynamicShapesKernelSpecializationStrategy.EAGER
        runtime_config.dynamic_shapes_kernel_specialization_strategy = strategy
        return self._engine.create_execution_context(runtime_config)

    def _bind(self) -> None:
        """Inputs of drawn images, since zeros would be quicker than real ones, and memory for the outputs."""
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
        kind: np.dtype[Any] = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name)))
        return kind

    def _require_precision(self, asked: str) -> None:
        """An engine that was built elsewhere may compute in anything; its layers tell, where they tell at all."""
        found = layer_types(self.layers())
        wanted = {"fp16": "half", "int8": "int8"}.get(asked)
        if found and wanted and not any(wanted in kind for kind in found):
            raise EngineFailed(f"{self._name} has no layer in {asked}, only {', '.join(sorted(found))}. Build it again")
        if asked == "fp32" and any(kind in found for kind in ("half", "int8", "bfloat16", "fp8")):
            raise EngineFailed(f"{self._name} computes in {', '.join(sorted(found))}, not in fp32. Build it again")


def layer_types(information: str) -> set[str]:
    """The data types that an engine inspector's JSON names, as `float`, `half`, `int8`.

    TensorRT 10 writes `"Format/Datatype": "Row major linear FP32 format"`, TensorRT 11 a `"DataType": "Float"` of its
    own; both are taken.
    """
    words = {"fp32": "float", "fp16": "half", "float": "float", "half": "half", "int8": "int8", "fp8": "fp8"}
    words |= {"bf16": "bfloat16", "bfloat16": "bfloat16"}
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                if key.lower().endswith("datatype") and isinstance(item, str):
                    found.update(words[word] for word in item.lower().split() if word in words)
                else:
                    walk(item)

    with suppress(ValueError):  # without a driver, or without its layers kept, it tells no JSON
        walk(json.loads(information))
    return found
