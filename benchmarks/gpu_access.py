"""Item of the GPU report: NVML, clocks, and device memory, events and graphs through pycuda or cuda-python.

python benchmarks/gpu_access.py pycuda
python benchmarks/gpu_access.py cuda-python
"""

import argparse
from importlib.util import find_spec

import numpy as np
import torch
from gpu_items import answer, cannot

from exporters.cuda import nvml
from exporters.cuda.cuda_python import CudaPython
from exporters.cuda.device_memory import CaptureFailed, DeviceMemory
from exporters.cuda.pycuda_memory import PyCuda
from exporters.cuda.timing import GpuTimer

MODULES = {"pycuda": "pycuda", "cuda-python": "cuda"}
SIZE = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=sorted(MODULES))
    library = parser.parse_args().library
    if not nvml.gpus():
        cannot("NVML finds no NVIDIA GPU with its driver on this machine")
    if find_spec(MODULES[library]) is None:
        cannot(f"{library} is not installed")
    gpu: DeviceMemory = PyCuda(0) if library == "pycuda" else CudaPython(0)
    try:
        bus_id = gpu.pci_bus_id()
        answer({"gpu": bus_id, "clocks": nvml.clocks_of(bus_id), "round_trip": round_trip(gpu), **launches(gpu)})
    finally:
        gpu.close()


def round_trip(gpu: DeviceMemory) -> bool:
    """Whether what is uploaded is downloaded again."""
    sent, received = np.arange(SIZE, dtype=np.float32), np.zeros(SIZE, np.float32)
    pointer = gpu.claim(sent.nbytes)
    gpu.upload(pointer, sent)
    gpu.download(received, pointer)
    gpu.free(pointer)
    return bool((sent == received).all())


def launches(gpu: DeviceMemory) -> dict[str, object]:
    """The time of a matrix product between events, launched by itself and as a CUDA graph."""
    stream = torch.cuda.ExternalStream(gpu.stream)  # type: ignore[no-untyped-call]  # torch does not annotate it
    x = torch.randn(SIZE, SIZE, device="cuda")
    y = torch.empty_like(x)

    def product() -> None:
        with torch.cuda.stream(stream):
            torch.mm(x, x, out=y)

    timing = GpuTimer(gpu, product).time(50.0)  # also allocates the workspace, which a capture cannot do
    results: dict[str, object] = {"product_ms": timing.busy_ms_median, "noise": timing.noise_reason}
    try:
        results["graph_ms"] = gpu.elapsed_ms(gpu.capture(product))
    except CaptureFailed as problem:
        results["graph"] = f"cannot be captured: {problem}"
    return results


if __name__ == "__main__":
    main()
