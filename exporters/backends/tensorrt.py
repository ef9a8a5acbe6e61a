"""Engines on an NVIDIA GPU: TensorRT 10 and 11, and TensorRT-RTX with the same code.

An engine has a static batch, the types of its ONNX file, and runs as one CUDA graph. Other batch sizes run in pieces of
that size, padded with zeros; images are independent of each other.
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
    """TensorRT, or another module with the same API.

    Args:
        module: `tensorrt` or `tensorrt_rtx`; their records are never mixed.
        gpu: the PCI bus id of the GPU; "" for the first GPU of CUDA.
    """

    def __init__(self, module: str = "tensorrt", gpu: str = "") -> None:
        self.name = module
        self.gpu = gpu

    def on_gpu(self, pci_bus_id: str) -> "Backend":
        """The same module on this GPU."""
        return Backend(self.name, pci_bus_id)

    @property
    def provider(self) -> str:
        """How calls are launched. With pycuda there are no CUDA graphs, so latencies include the launches."""
        library = memory.available() or "no device memory"
        return f"CUDA graph, {library}" if library == memory.CUDA_PYTHON else f"stream, {library}"

    def unavailable_reason(self) -> str | None:
        return self._why_not_loaded() or self._why_no_gpu()

    def build_unavailable_reason(self) -> str | None:
        """Why no engine can be built here, or None. TensorRT-RTX builds without a GPU."""
        return self._why_not_loaded() or (self._why_no_gpu() if is_classic(self._trt()) else None)

    def _why_not_loaded(self) -> str | None:
        if find_spec(self.name) is None:
            return f"{self.name} is not installed. Run {INSTALL[self.name]}"
        try:
            import_module(self.name)
        except (ImportError, OSError, RuntimeError) as problem:
            return f"{self.name} cannot be loaded: {problem}. Run {INSTALL[self.name]} again"
        return None

    def version(self) -> str:
        return str(self._trt().__version__)

    def build(self, onnx: Path | Model, spec: CompileSpec, capability: str = CURRENT) -> Engine:
        """Build the engine of a file.

        Raises:
            NotOnnx: the file cannot be read.
            EngineFailed: the parser or the builder refuses it.
            BackendUnavailable: no engine can be built here.
            WrongPrecision: the precision of the file differs from that of the spec.
        """
        model = as_model(onnx)
        if reason := self.build_unavailable_reason():
            raise BackendUnavailable(f"{self.name} cannot build {model.path.name} here: {reason}")
        require_precision(model, spec.precision)
        batch = BatchRange(*spec.batches) if spec.batches else BatchRange.static(spec.batch)
        with self._selected() if capability == CURRENT and nvml.gpus() else nullcontext():
            engine = build_engine(self._trt(), model.path, batch, capability, self._timing_cache(), detailed=True)
        return replace(engine, capability=self._capability()) if capability == CURRENT else engine

    def compile(self, onnx: Path | Model, spec: CompileSpec) -> "EngineSession":
        """Build the engine of an ONNX file, or load an engine.

        Raises:
            EngineFailed: also if an engine was built by another TensorRT or for another GPU.
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
            raise BackendUnavailable(f"{self.name} cannot run {path.name} here: {reason}")
        return EngineSession(self._trt(), plan or self.build(model, spec).plan, spec, path.name, self.gpu)

    def _timing_cache(self) -> Path | None:
        """The timing cache of this GPU model and version; with it, rebuilt engines use the same tactics."""
        if not is_classic(self._trt()):
            return None
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"tensorrt-{self.version()}-sm{self._capability().replace('.', '')}.timing"

    @contextmanager
    def _selected(self) -> Iterator[None]:
        """Make our GPU the current one of CUDA, on which a builder times tactics."""
        gpu = memory.open_memory(self.gpu)
        try:
            yield
        finally:
            gpu.close()

    def _capability(self) -> str:
        gpu = self._described()
        return gpu.capability if gpu else CURRENT

    def _described(self) -> nvml.Gpu | None:
        """The description of our GPU in NVML, whose numbering differs from that of CUDA."""
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
            return "there is no NVIDIA GPU with its driver on this machine. Use a machine that has both"
        if gpu.sm < LEAST_SM[self.name]:
            last = LAST_TENSORRT.get(gpu.sm)
            ended = f"; the last TensorRT for it is {last}" if last else ""
            return (
                f"{gpu.name} has compute capability {gpu.capability}, and {self.name} takes 7.5 and later{ended}. "
                f"Use --backend onnxruntime, in a build of onnxruntime-gpu for CUDA 12: CUDA 13 has dropped it too"
            )
        return memory.unavailable_reason(self.gpu)


class EngineSession:
    """A loaded engine with a random input batch on the GPU."""

    def __init__(self, trt: ModuleType, plan: bytes, spec: CompileSpec, name: str, gpu: str = "") -> None:
        self._gpu: DeviceMemory | None = memory.open_memory(gpu)
        self._trt = trt
        self._name = name
        log = logger_of(trt)
        log.clear()
        self._runtime = trt.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            reason = next(iter(log.errors), "no reason was given")
            raise EngineFailed(
                f"{trt.__name__} {trt.__version__} cannot load {name}: {reason}. An engine runs with the TensorRT "
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
        if self._gpu is None:
            return
        gpu, self._gpu = self._gpu, None
        gpu.synchronize()
        for pointer in self._pointers.values():
            gpu.free(pointer)
        gpu.close()
        del self._context, self._engine, self._runtime  # in this order: each refers to the next

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
        if is_classic(self._trt):
            return self._engine.create_execution_context()
        runtime_config = self._engine.create_runtime_config()
        # otherwise kernels are replaced by faster ones while the first calls are timed
        strategy = self._trt.DynamicShapesKernelSpecializationStrategy.EAGER
        runtime_config.dynamic_shapes_kernel_specialization_strategy = strategy
        return self._engine.create_execution_context(runtime_config)

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
        kind: np.dtype[Any] = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name)))
        return kind

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
