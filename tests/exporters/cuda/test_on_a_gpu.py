"""What only a machine with an NVIDIA GPU can show; `make gpu` runs it there."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import CUDA, Backend
from exporters.cuda import memory, nvml
from exporters.cuda.cuda_python import CudaPython
from exporters.cuda.device_memory import DeviceMemory
from exporters.cuda.pycuda_memory import PyCuda
from exporters.graph.interface import INPUT, OUTPUT
from exporters.graph.to_onnx import export_onnx

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not nvml.gpus(), reason="there is no NVIDIA GPU with its driver on this machine"),
]


@pytest.fixture(params=[CudaPython, PyCuda], ids=["cuda-python", "pycuda"])
def gpu(request: pytest.FixtureRequest) -> Iterator[DeviceMemory]:
    module = {CudaPython: "cuda", PyCuda: "pycuda"}[request.param]
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    opened: DeviceMemory = request.param(0)
    yield opened
    opened.close()


def test_memory_keeps_what_is_uploaded(gpu: DeviceMemory) -> None:
    sent, received = np.arange(1000, dtype=np.float32), np.zeros(1000, np.float32)
    pointer = gpu.claim(sent.nbytes)
    gpu.upload(pointer, sent)
    gpu.download(received, pointer)
    gpu.free(pointer)
    np.testing.assert_array_equal(received, sent)


def test_cuda_and_nvml_name_the_same_gpu(gpu: DeviceMemory) -> None:
    assert memory.gpu_at(gpu.pci_bus_id(), (), nvml.gpus()) is not None


def test_events_measure_longer_work_as_longer(gpu: DeviceMemory) -> None:
    stream, x = torch.cuda.ExternalStream(gpu.stream), torch.randn(2048, 2048, device="cuda")
    y = torch.empty_like(x)

    def products(count: int) -> None:
        with torch.cuda.stream(stream):
            for _ in range(count):
                torch.mm(x, x, out=y)

    products(1)
    gpu.synchronize()
    assert gpu.elapsed_ms(lambda: products(40)) > 4 * gpu.elapsed_ms(lambda: products(2))


def test_clocks_of_every_gpu_are_read() -> None:
    assert all(nvml.ClockMonitor(gpu.pci_bus_id).look().sm_mhz > 0 for gpu in nvml.gpus())


def test_cuda_provider_computes_what_torch_does(tmp_path: Path) -> None:
    backend = Backend(CUDA)
    if reason := backend.unavailable_reason():
        pytest.skip(reason)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    export_onnx(net, torch.zeros(2, 3, 16, 16), tmp_path / "net.onnx")
    compiled = backend.compile(tmp_path / "net.onnx", CompileSpec(4))
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    outputs = compiled.run({INPUT: x.numpy()})[OUTPUT]
    timing = compiled.time(20.0)
    compiled.close()
    with torch.no_grad():
        np.testing.assert_allclose(outputs, net(x).numpy(), rtol=1e-4, atol=1e-5)  # TF32 is off
    assert timing.busy_ms_median > 0
