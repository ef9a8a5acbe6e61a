"""The devices that are attached to this machine."""

import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from latency_db.errors import UnknownDevice

CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Device:
    """Something that a network runs on; `name` is what people type."""

    name: str
    kind: str
    model: str
    cores: int


def attached() -> tuple[Device, ...]:
    """This machine's CPU."""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return (Device(name="cpu", kind="cpu", model=_cpu_model(), cores=cores),)


def find(name: str) -> Device:
    """The attached device of that name.

    Raises:
        UnknownDevice: there is none; the message lists those there are.
    """
    here = attached()
    for device in here:
        if device.name == name:
            return device
    listed = ", ".join(f"{device.name} ({device.model})" for device in here)
    raise UnknownDevice(
        f"the device {name!r} is not attached to this machine. Attached: {listed}. "
        f"Type --device {here[0].name}, or measure on a machine that has it"
    )


def _cpu_model() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text().splitlines():
            label, _, value = line.partition(":")
            if label.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
