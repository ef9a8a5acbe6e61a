"""What NVIDIA's management library knows of a GPU: who it is, its clocks, and whether something slows it down."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

import pynvml

# nvml.h, nvmlClocksEventReason*: those that make a GPU slower than its clocks' setting
SLOWED_BY = MappingProxyType(
    {
        4: "its power cap",
        8: "a hardware slowdown",
        32: "heat (software)",
        64: "heat (hardware)",
        128: "the power brake",
    }
)
APPLICATION_CLOCKS = 2  # clocks are held at a setting, by nvidia-smi --lock-gpu-clocks or --applications-clocks
MOST_DRIFT = 0.01  # of the clock while a model is timed; TensorRT's trtexec calls more than 2.5 % unstable


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine."""

    index: int
    name: str
    uuid: str
    pci_bus_id: str
    capability: str  # "8.6"
    driver: str  # "580.65.06, CUDA 13.0"
    memory_bytes: int

    @property
    def sm(self) -> int:
        """86 for "8.6"."""
        return int(self.capability.replace(".", ""))


@dataclass(frozen=True)
class ClockState:
    """A moment of a GPU: the SM clock in MHz, and NVML's reasons for it; zeros where it doesn't tell."""

    sm_mhz: int
    reasons: int


def gpus() -> tuple[Gpu, ...]:
    """The GPUs of this machine, as NVML counts them; none where there is no driver."""
    with _library() as nvml:
        if nvml is None:
            return ()
        return tuple(_describe(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))


def at(pci_bus_id: str) -> Gpu | None:
    """The GPU in that place, however the library wrote it that told the place; None where NVML has none there."""
    return next((gpu for gpu in gpus() if same_place(gpu.pci_bus_id, pci_bus_id)), None)


def same_place(one: str, other: str) -> bool:
    """Whether two PCI bus ids are one: NVML writes `00000000:0A:00.0`, and CUDA `0000:0a:00.0`."""
    return one.lower().lstrip("0") == other.lower().lstrip("0")


def clocks_of(pci_bus_id: str) -> str:
    """`floating`, or `held at 1404 MHz`; `unknown` where NVML doesn't tell."""
    watch = ClockMonitor(pci_bus_id)
    now = watch.look()
    if now.sm_mhz == 0:
        return "unknown"
    return f"held at {now.sm_mhz} MHz" if now.reasons & APPLICATION_CLOCKS else "floating"


@dataclass
class ClockMonitor:
    """Looks at one GPU while a model is timed, and says afterwards whether anything slowed it down."""

    pci_bus_id: str
    seen: list[ClockState] = field(default_factory=list)

    def look(self) -> ClockState:
        """Note the state of this moment."""
        state = _state(pynvml, self.pci_bus_id) if _kept_open() else ClockState(0, 0)
        self.seen.append(state)
        return state

    def noise_reason(self) -> str:
        """Why what was timed since the last call can't be trusted; empty where it can."""
        seen, self.seen = self.seen, []
        found = 0
        for state in seen:
            found |= state.reasons
        reasons = [text for bit, text in SLOWED_BY.items() if found & bit]
        if reasons:
            return f"the GPU was slowed down by {' and '.join(reasons)}"
        clocks = [state.sm_mhz for state in seen if state.sm_mhz]
        if clocks and max(clocks) > min(clocks) * (1 + MOST_DRIFT):
            return f"the GPU's clock moved from {min(clocks)} to {max(clocks)} MHz"
        return ""


@cache
def _kept_open() -> bool:
    """Load NVML once for all looks, which come between samples and must be quick; it goes with the process."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


@contextmanager
def _library() -> Iterator[Any]:
    """NVML, or None where it can't be loaded."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _describe(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
    return Gpu(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        pci_bus_id=_text(nvml.nvmlDeviceGetPciInfo(handle).busId),
        capability=f"{major}.{minor}",
        driver=f"{_text(nvml.nvmlSystemGetDriverVersion())}, CUDA {cuda // 1000}.{cuda % 1000 // 10}",
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
    )


def _state(nvml: Any, pci_bus_id: str) -> ClockState:
    try:
        handle = nvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id.encode())
        clock = int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
        return ClockState(clock, int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)))
    except nvml.NVMLError:  # a part of a GPU (MIG), or a machine that hides it
        return ClockState(0, 0)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
