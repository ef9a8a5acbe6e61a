"""NVIDIA GPUs that are attached, as their driver reports them through NVML; none where there is no driver."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One GPU, by NVML's index."""

    index: int
    model: str
    uuid: str
    pci_bus_id: str
    capability: str
    driver: str
    memory_bytes: int
    cores: int


def gpus() -> tuple[Gpu, ...]:
    """All of them; () without a driver or NVML's Python module."""
    with _nvml() as nvml:
        if nvml is None:
            return ()
        return tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))


def gpu_conditions(uuid: str) -> dict[str, Any]:
    """Temperature in degrees Celsius, clock in MHz and power in W of a GPU now, each where the driver tells it."""
    with _nvml() as nvml:
        if nvml is None:
            return {}
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        asked = {
            "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        }
        told = {name: _told(nvml, ask) for name, ask in asked.items()}
    return {name: value for name, value in told.items() if value is not None}


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVML, or None where it is not at hand."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # NVMLError in all its kinds, or a module of the same name by somebody else
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    capability = _told(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    memory = _told(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total)  # some of a Jetson's is the system's
    return Gpu(
        index=index,
        model=_text(nvml.nvmlDeviceGetName(handle)),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        pci_bus_id=_text(_told(nvml, lambda: nvml.nvmlDeviceGetPciInfo(handle).busId) or ""),
        capability=".".join(map(str, capability)) if capability else "",
        driver=_text(nvml.nvmlSystemGetDriverVersion()),
        memory_bytes=int(memory or 0),
        cores=int(_told(nvml, lambda: nvml.nvmlDeviceGetNumGpuCores(handle)) or 0),
    )


def _told(nvml: Any, ask: Any) -> Any:
    """What the driver answers, or None: not every GPU has every sensor."""
    try:
        return ask()
    except nvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
