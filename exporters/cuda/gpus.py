"""The NVIDIA GPUs of this machine, their clocks and their state: through NVML, or those of a Jetson board."""

from __future__ import annotations

from exporters.cuda import jetson, nvml
from exporters.cuda.gpu import Gpu
from exporters.cuda.jetson import JetsonMonitor
from exporters.cuda.nvml import ClockMonitor


def gpus() -> tuple[Gpu, ...]:
    """The GPUs of this machine in the order of the driver; () without one."""
    return (jetson.gpu(),) if jetson.is_jetson() else nvml.gpus()


def clocks_of(pci_bus_id: str) -> str:
    """`floating`, `held at 1404 MHz`, or `unknown`, with the power mode of a Jetson board."""
    return jetson.clocks() if jetson.is_jetson() else nvml.clocks_of(pci_bus_id)


def clock_monitor(pci_bus_id: str) -> ClockMonitor | JetsonMonitor:
    """Observes the GPU at a PCI bus id while a model is timed."""
    return JetsonMonitor() if jetson.is_jetson() else ClockMonitor(pci_bus_id)


def gpu_conditions(uuid: str) -> dict[str, object]:
    """The state of a GPU now, as far as the driver has it; that of a Jetson board is that of its machine."""
    return {} if jetson.is_jetson() else nvml.gpu_conditions(uuid)
