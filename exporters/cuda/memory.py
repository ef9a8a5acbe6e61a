"""Opens memory on a GPU, through cuda-python if it is installed, else pycuda, which has no CUDA graphs.

Both share the primary context of the device with TensorRT and ONNX Runtime, so pointers and streams can be exchanged.

A GPU is identified by its PCI bus id. The numbers of CUDA and NVML differ: CUDA_VISIBLE_DEVICES hides GPUs from CUDA,
and unless CUDA_DEVICE_ORDER is PCI_BUS_ID, CUDA counts the fastest GPU first (CUDA programming guide, environment
variables).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Union

from exporters.cuda import nvml
from exporters.cuda.cuda_python import CudaPython
from exporters.cuda.device_memory import DeviceMemory
from exporters.cuda.gpu import Gpu
from exporters.cuda.pycuda_memory import PyCuda
from exporters.errors import BackendUnavailable

PYCUDA, CUDA_PYTHON = PyCuda.name, CudaPython.name
Library = Union[type[CudaPython], type[PyCuda]]


def unavailable_reason(pci_bus_id: str = "") -> str | None:
    """Why the memory of the GPU at `pci_bus_id` cannot be used, or None; "" means the first GPU of CUDA."""
    if available() is None:
        return "neither cuda-python nor pycuda is installed. Run pip install cuda-bindings"
    try:
        ordinal_of(pci_bus_id)
    except BackendUnavailable as problem:
        return str(problem)
    return None


def available() -> str | None:
    """The name of the library that opens memory, or None if none is installed."""
    library = _installed()
    return None if library is None else library.name


def _installed() -> Library | None:
    """cuda-python, which has CUDA graphs, before pycuda; None if neither is installed."""
    if find_spec("cuda") is not None and find_spec("cuda.bindings") is not None:
        return CudaPython
    return PyCuda if find_spec("pycuda") is not None else None


def no_graphs_reason() -> str | None:
    """Why a call cannot be launched as one CUDA graph here, or None if it can."""
    library = available()
    if library == CUDA_PYTHON:
        return None
    if library == PYCUDA:
        return (
            "pycuda has no CUDA graphs, so latencies include the launch of each kernel. Run pip install cuda-bindings, "
            "which is preferred where both are installed"
        )
    return unavailable_reason()


def bus_ids() -> tuple[str, ...]:
    """The PCI bus ids of the GPUs that CUDA sees in this process, in its own order.

    Raises:
        BackendUnavailable: no library is installed, or it finds no driver.
    """
    with _library("CUDA") as library:
        return library.bus_ids()


def capability_and_cuda() -> tuple[str, str]:
    """The compute capability of the first GPU of CUDA, and the CUDA version of its driver: ("8.7", "12.6").

    Raises:
        BackendUnavailable: no library is installed, or it finds no driver.
    """
    with _library("CUDA") as library:
        numbers, cuda = library.capability_and_cuda()
    return ".".join(map(str, numbers)), f"{cuda // 1000}.{cuda % 1000 // 10}"


def ordinal_of(pci_bus_id: str) -> int:
    """The number of a GPU in CUDA, in this process; 0 for "".

    Raises:
        BackendUnavailable: CUDA does not see the GPU; the message names the cause and the visible GPUs.
    """
    if not pci_bus_id:
        return 0
    visible = bus_ids()
    if (ordinal := position_of(pci_bus_id, visible)) is not None:
        return ordinal
    raise BackendUnavailable(not_visible(pci_bus_id, visible, nvml.gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")))


def position_of(pci_bus_id: str, visible: Sequence[str]) -> int | None:
    """The position of a GPU among the bus ids that CUDA sees, or None."""
    return next((n for n, bus_id in enumerate(visible) if nvml.same_place(bus_id, pci_bus_id)), None)


def gpu_at(pci_bus_id: str, visible: Sequence[str], gpus: Sequence[Gpu]) -> Gpu | None:
    """The GPU at a PCI bus id, or None; for "" the first GPU that CUDA sees, or the first of `gpus` if it sees none."""
    bus_id = pci_bus_id or next(iter(visible), "")
    if not bus_id:
        return next(iter(gpus), None)
    return next((gpu for gpu in gpus if nvml.same_place(gpu.pci_bus_id, bus_id)), None)


def not_visible(pci_bus_id: str, visible: Sequence[str], gpus: Sequence[Gpu], setting: str | None) -> str:
    """Why CUDA does not see a GPU, and what to do.

    Args:
        visible: the bus ids of the GPUs that CUDA sees.
        gpus: the GPUs of the machine, by NVML.
        setting: the value of CUDA_VISIBLE_DEVICES, or None if it is not set.
    """
    hidden_gpu = gpu_at(pci_bus_id, (), gpus)
    named = f"{hidden_gpu.name} at {pci_bus_id} (gpu{hidden_gpu.index})" if hidden_gpu else f"GPU at {pci_bus_id}"
    others = [f"--device gpu{gpu.index} for the {gpu.name}" for bus_id in visible if (gpu := gpu_at(bus_id, (), gpus))]
    if setting is None:
        hidden, remedy = "", "Check that nvidia-smi lists it and that this user may use it"
    else:
        hidden, remedy = f": CUDA_VISIBLE_DEVICES={setting} hides it", "Run unset CUDA_VISIBLE_DEVICES"
    return f"CUDA does not see the {named}{hidden}. {', or '.join((remedy, *others))}"


def open_memory(pci_bus_id: str = "") -> DeviceMemory:
    """Memory and a stream on the GPU at `pci_bus_id`, or on the first GPU of CUDA.

    Raises:
        BackendUnavailable: no library is installed, or CUDA does not see the GPU.
    """
    ordinal = ordinal_of(pci_bus_id)
    with _library(f"GPU {ordinal}") as library:
        return library(ordinal)


@contextmanager
def _library(what: str) -> Iterator[Library]:
    """The installed library; each of its errors becomes BackendUnavailable."""
    library = _installed()
    if library is None:
        raise BackendUnavailable(f"{what} cannot be used: {unavailable_reason()}")
    try:
        yield library
    except BackendUnavailable:
        raise
    except Exception as problem:  # pycuda creates its error classes at run time
        raise BackendUnavailable(
            f"{what} cannot be used: {problem}. Use a machine with an NVIDIA GPU and its driver"
        ) from None
