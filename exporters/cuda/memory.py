"""Opens memory on a GPU, through cuda-python if it is installed, else pycuda, which has no CUDA graphs.

Both share the primary context of the device with TensorRT and ONNX Runtime, so pointers and streams can be exchanged.

A GPU is identified by its PCI bus id. The numbers of CUDA and NVML differ: CUDA_VISIBLE_DEVICES hides GPUs from CUDA,
and unless CUDA_DEVICE_ORDER is PCI_BUS_ID, CUDA counts the fastest GPU first (CUDA programming guide, environment
variables).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from exporters.cuda import nvml
from exporters.cuda.cuda_python import CudaPython
from exporters.cuda.device_memory import DeviceMemory
from exporters.cuda.pycuda_memory import PyCuda
from exporters.errors import BackendUnavailable

PYCUDA, CUDA_PYTHON = PyCuda.name, CudaPython.name


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
    """The library that `open_memory` uses, or None if none is installed."""
    if find_spec("cuda") is not None and find_spec("cuda.bindings") is not None:
        return CUDA_PYTHON
    return PYCUDA if find_spec("pycuda") is not None else None


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
    with _translated("CUDA"):
        return PyCuda.bus_ids() if available() == PYCUDA else CudaPython.bus_ids()


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


def gpu_at(pci_bus_id: str, visible: Sequence[str], gpus: Sequence[nvml.Gpu]) -> nvml.Gpu | None:
    """The GPU at a PCI bus id, or None; for "" the first GPU that CUDA sees, or the first of `gpus` if it sees none."""
    bus_id = pci_bus_id or next(iter(visible), "")
    if not bus_id:
        return next(iter(gpus), None)
    return next((gpu for gpu in gpus if nvml.same_place(gpu.pci_bus_id, bus_id)), None)


def not_visible(pci_bus_id: str, visible: Sequence[str], gpus: Sequence[nvml.Gpu], setting: str | None) -> str:
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
    with _translated(f"GPU {ordinal}"):
        return PyCuda(ordinal) if available() == PYCUDA else CudaPython(ordinal)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn every error of a library into BackendUnavailable."""
    if available() is None:
        raise BackendUnavailable(f"{what} cannot be used: {unavailable_reason()}")
    try:
        yield
    except BackendUnavailable:
        raise
    except Exception as problem:  # pycuda creates its error classes at run time
        raise BackendUnavailable(
            f"{what} cannot be used: {problem}. Use a machine with an NVIDIA GPU and its driver"
        ) from None
