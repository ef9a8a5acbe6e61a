"""Attached NVIDIA GPUs, their clocks and sensors, through NVIDIA's management library (NVML)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any

import pynvml

from exporters.cuda.gpu import Gpu, moved

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


@dataclass(frozen=True)
class ClockState:
    """The SM clock of a GPU in MHz and NVML's reasons for it, at one moment; zeros if unknown."""

    sm_mhz: int
    reasons: int


def gpus() -> tuple[Gpu, ...]:
    """The GPUs of this machine in NVML's order; () without a driver."""
    with _library() as nvml:
        if nvml is None:
            return ()
        return tuple(_describe(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))


def same_place(one: str, other: str) -> bool:
    """Whether two PCI bus ids are equal: NVML writes `00000000:0A:00.0`, CUDA `0000:0a:00.0`."""
    return one.lower().lstrip("0") == other.lower().lstrip("0")


def gpu_conditions(uuid: str) -> dict[str, object]:
    """Temperature in degrees Celsius, clock in MHz and power in W of a GPU now, as far as the driver has them."""
    with _library() as nvml:
        if nvml is None:
            return {}
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        sensors = {
            "temperature_c": _optional(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            "clock_mhz": _optional(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            "power_w": _optional(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        }
    return {name: value for name, value in sensors.items() if value is not None}


def clocks_of(pci_bus_id: str) -> str:
    """`floating`, `held at 1404 MHz`, or `unknown`."""
    now = ClockMonitor(pci_bus_id).look()
    if now.sm_mhz == 0:
        return "unknown"
    return f"held at {now.sm_mhz} MHz" if now.reasons & APPLICATION_CLOCKS else "floating"


@dataclass
class ClockMonitor:
    """Observes one GPU while a model is timed, and reports afterwards whether anything slowed it down."""

    pci_bus_id: str
    seen: list[ClockState] = field(default_factory=list)

    def look(self) -> ClockState:
        """Record the current state."""
        state = _state(pynvml, self.pci_bus_id) if _kept_open() else ClockState(0, 0)
        self.seen.append(state)
        return state

    def noise_reason(self) -> str:
        """Why timings since the last call are not reliable; empty if they are."""
        seen, self.seen = self.seen, []
        bits = 0
        for state in seen:
            bits |= state.reasons
        reasons = [text for bit, text in SLOWED_BY.items() if bits & bit]
        if reasons:
            return f"the GPU was slowed down by {' and '.join(reasons)}"
        return moved([state.sm_mhz for state in seen])


@cache
def _kept_open() -> bool:
    """Load NVML once per process: states are recorded between samples and must be fast."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


@contextmanager
def _library() -> Iterator[ModuleType | None]:
    """NVML, or None if it cannot be loaded."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _describe(nvml: ModuleType, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    capability = _optional(lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    memory = _optional(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total)  # a Jetson shares the system's memory
    cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
    return Gpu(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        pci_bus_id=_text(_optional(lambda: nvml.nvmlDeviceGetPciInfo(handle).busId) or ""),
        capability=".".join(map(str, capability)) if capability else "",
        driver=f"{_text(nvml.nvmlSystemGetDriverVersion())}, CUDA {cuda // 1000}.{cuda % 1000 // 10}",
        memory_bytes=int(memory or 0),
        cores=int(_optional(lambda: nvml.nvmlDeviceGetNumGpuCores(handle)) or 0),
    )


def _optional(query: Callable[[], Any]) -> Any:
    """The answer of the driver, or None: not every GPU has every sensor."""
    try:
        return query()
    except pynvml.NVMLError:
        return None


def _state(nvml: ModuleType, pci_bus_id: str) -> ClockState:
    try:
        handle = nvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id.encode())
        clock = int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
        return ClockState(clock, int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)))
    except nvml.NVMLError:  # a part of a GPU (MIG), or a machine that hides it
        return ClockState(0, 0)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
