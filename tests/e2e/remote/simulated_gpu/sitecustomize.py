"""Libraries of NVIDIA for a device without a GPU: NVML, CUDA and TensorRT 10, as far as nastool calls them.

Python imports this file at its start if its folder is in PYTHONPATH, so that the process on a device finds them. The
memory of the GPU is host memory, and an engine is its ONNX file, which ONNX Runtime computes. So everything between
`--device ADDRESS#gpu` and an engine's outputs is run, except for NVIDIA's own code; that the real libraries have what
is called is tested in tests/exporters/test_gpu_bindings.py.
"""

import ctypes
import json
import os
import sys
import time
from enum import Enum
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

MODEL = os.environ.get("SIMULATED_GPU", "Orin")
CAPABILITY = {"Orin": (8, 7), "NVIDIA TITAN Xp": (6, 1)}[MODEL]
VERSION = os.environ.get("SIMULATED_TENSORRT", "10.13.3.9")
CLOCK_MHZ = int(os.environ.get("SIMULATED_CLOCK", "1300"))
BUS_ID = "0000:65:00.0"
FREE_BYTES = int(os.environ.get("SIMULATED_BYTES", str(2**30)))


def install(name, **names):
    """A module that is imported already."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(names)
    sys.modules[name] = module
    return module


class NVMLError(Exception):
    """An error of NVML."""


install(
    "pynvml",
    NVMLError=NVMLError,
    NVML_CLOCK_SM=1,
    NVML_TEMPERATURE_GPU=0,
    nvmlInit=lambda: None,
    nvmlShutdown=lambda: None,
    nvmlDeviceGetCount=lambda: 1,
    nvmlDeviceGetHandleByIndex=lambda index: index,
    nvmlDeviceGetHandleByUUID=lambda uuid: 0,
    nvmlDeviceGetHandleByPciBusId=lambda bus_id: 0,
    nvmlDeviceGetName=lambda handle: MODEL,
    nvmlDeviceGetUUID=lambda handle: "GPU-simulated",
    nvmlDeviceGetPciInfo=lambda handle: SimpleNamespace(busId=f"0000{BUS_ID}"),
    nvmlDeviceGetCudaComputeCapability=lambda handle: CAPABILITY,
    nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=FREE_BYTES),
    nvmlDeviceGetNumGpuCores=lambda handle: 2048,
    nvmlSystemGetDriverVersion=lambda: "580.65.06",
    nvmlSystemGetCudaDriverVersion_v2=lambda: 13000,
    nvmlDeviceGetClockInfo=lambda handle, clock: CLOCK_MHZ,
    nvmlDeviceGetCurrentClocksEventReasons=lambda handle: 2,
    nvmlDeviceGetTemperature=lambda handle, sensor: 51,
    nvmlDeviceGetPowerUsage=lambda handle: 9000,
)

SUCCESS, OUT_OF_MEMORY = 0, 2
buffers, events, graphs = {}, {}, []


def malloc(size):
    if size + sum(len(buffer) for buffer in buffers.values()) > FREE_BYTES:
        return OUT_OF_MEMORY, 0
    buffer = ctypes.create_string_buffer(size)
    buffers[ctypes.addressof(buffer)] = buffer
    return SUCCESS, ctypes.addressof(buffer)


def free(pointer):
    del buffers[pointer]
    return (SUCCESS,)


def copy(to, source, size, kind, stream):
    ctypes.memmove(to, source, size)
    return (SUCCESS,)


def record(event, stream):
    events[event] = time.perf_counter()
    return (SUCCESS,)


def create_event():
    events[len(events)] = 0.0
    return SUCCESS, len(events) - 1


def end_capture(stream):
    graphs.append(Context.last)
    return SUCCESS, len(graphs) - 1


def launch(graph, stream):
    graphs[graph].execute_async_v3(stream)
    return (SUCCESS,)


def nothing(*arguments):
    return (SUCCESS,)


install(
    "cuda.bindings.runtime",
    cudaError_t=SimpleNamespace(cudaSuccess=SUCCESS, cudaErrorNoDevice=100),
    cudaMemcpyKind=SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2),
    cudaStreamCaptureMode=SimpleNamespace(cudaStreamCaptureModeThreadLocal=1),
    cudaDeviceScheduleSpin=1,
    cudaStreamNonBlocking=1,
    cudaGetDeviceCount=lambda: (SUCCESS, 1),
    cudaDeviceGetPCIBusId=lambda size, ordinal: (SUCCESS, BUS_ID.encode().ljust(size, b"\0")),
    cudaGetErrorName=lambda error: (SUCCESS, b"cudaErrorMemoryAllocation"),
    cudaStreamCreateWithFlags=lambda flags: (SUCCESS, 7),
    cudaEventCreate=create_event,
    cudaEventRecord=record,
    cudaEventElapsedTime=lambda begin, end: (SUCCESS, max(1e-3, (events[end] - events[begin]) * 1e3)),
    cudaMalloc=malloc,
    cudaFree=free,
    cudaMemcpyAsync=copy,
    cudaStreamEndCapture=end_capture,
    cudaGraphInstantiate=lambda graph, flags: (SUCCESS, graph),
    cudaGraphLaunch=launch,
    **dict.fromkeys(("cudaGetLastError", "cudaSetDevice", "cudaSetDeviceFlags", "cudaStreamSynchronize"), nothing),
    **dict.fromkeys(("cudaEventSynchronize", "cudaStreamBeginCapture", "cudaGraphDestroy"), nothing),
    **dict.fromkeys(("cudaGraphExecDestroy", "cudaEventDestroy", "cudaStreamDestroy"), nothing),
)


class Mode(Enum):
    INPUT = 0
    OUTPUT = 1


def session_of(content):
    import onnxruntime

    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


class Network:
    """A parsed ONNX file; the static shapes of its inputs are written into the plan."""

    def __init__(self, flags):
        self.inputs, self.outputs, self.content = [], [], b""

    def parse(self, content):
        session = session_of(content)
        self.content = content
        self.inputs = [SimpleNamespace(name=entry.name, shape=tuple(entry.shape)) for entry in session.get_inputs()]
        self.outputs = session.get_outputs()
        return True

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_input(self, number):
        return self.inputs[number]


class Parser:
    num_errors = 0

    def __init__(self, network, log):
        self.network = network

    def parse(self, content):
        return self.network.parse(content)

    def parse_from_file(self, path):
        return self.network.parse(Path(path).read_bytes())


class Config:
    def __init__(self):
        self.batches = None

    def create_timing_cache(self, content):
        return SimpleNamespace(serialize=lambda: b"timings")

    def set_timing_cache(self, cache, ignore_mismatch):
        return True

    def add_optimization_profile(self, profile):
        self.batches = profile.batches

    def clear_flag(self, flag):
        pass


class Profile:
    def set_shape(self, name, least, best, most):
        self.batches = [least[0], most[0]]


class Builder:
    def __init__(self, log):
        pass

    create_network = staticmethod(Network)
    create_builder_config = staticmethod(Config)
    create_optimization_profile = staticmethod(Profile)

    def build_serialized_network(self, network, config):
        batch = network.inputs[0].shape[0]
        info = {"batches": config.batches or [batch, batch], "gpu": MODEL}
        built = os.environ.get("SIMULATED_BUILDS")
        if built:
            with Path(built).open("a") as log:
                log.write("built\n")
        return b"ftrt" + json.dumps(info).encode().ljust(100) + network.content


class Engine:
    def __init__(self, plan):
        self.session, (self.least, self.most) = session_of(plan[104:]), json.loads(plan[4:104])["batches"]
        self.entries = {
            **{entry.name: (Mode.INPUT, entry) for entry in self.session.get_inputs()},
            **{entry.name: (Mode.OUTPUT, entry) for entry in self.session.get_outputs()},
        }
        self.num_io_tensors = len(self.entries)

    def create_execution_context(self):
        return Context(self)

    def create_engine_inspector(self):
        return SimpleNamespace(get_engine_information=lambda form: "")

    def get_tensor_name(self, number):
        return list(self.entries)[number]

    def get_tensor_mode(self, name):
        return self.entries[name][0]

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name="FLOAT")

    def get_tensor_shape(self, name):
        return (self.least if self.least == self.most else -1, *self.entries[name][1].shape[1:])


class Context:
    last = None

    def __init__(self, engine):
        self.engine, self.batch, self.addresses = engine, engine.most, {}

    def set_input_shape(self, name, shape):
        self.batch = shape[0]
        return self.engine.least <= self.batch <= self.engine.most

    def get_tensor_shape(self, name):
        return (self.batch, *self.engine.entries[name][1].shape[1:])

    def set_tensor_address(self, name, pointer):
        self.addresses[name] = pointer

    def execute_async_v3(self, stream):
        Context.last = self
        feeds = {entry.name: self._view(entry.name) for entry in self.engine.session.get_inputs()}
        for entry, values in zip(self.engine.session.get_outputs(), self.engine.session.run(None, feeds), strict=True):
            self._view(entry.name)[:] = values
        return True

    def _view(self, name):
        import numpy as np

        shape = self.get_tensor_shape(name)
        size = 4 * int(np.prod(shape))
        return np.frombuffer((ctypes.c_char * size).from_address(self.addresses[name]), np.float32).reshape(shape)


class Runtime:
    def __init__(self, log):
        self.log = log

    def deserialize_cuda_engine(self, plan):
        if plan[:4] == b"ftrt" and json.loads(plan[4:104])["gpu"] == MODEL:
            return Engine(plan)
        self.log.log(1, "the engine was built for another GPU")
        return None


class ILogger:
    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)


install(
    "tensorrt",
    __version__=VERSION,
    ILogger=ILogger,
    Builder=Builder,
    OnnxParser=Parser,
    Runtime=Runtime,
    TensorIOMode=Mode,
    BuilderFlag=SimpleNamespace(TF32=1),
    NetworkDefinitionCreationFlag=SimpleNamespace(__members__={"STRONGLY_TYPED": 1, "EXPLICIT_BATCH": 0}),
    ProfilingVerbosity=SimpleNamespace(DETAILED=1),
    LayerInformationFormat=SimpleNamespace(JSON="json"),
)
