"""The devices that are attached to this machine."""

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from exporters.cuda.nvml import Gpu, gpu_conditions, gpus
from exporters.devices.conditions import conditions
from exporters.devices.known import KnownDevice, look_up, near, recognize_cpu, recognize_gpu
from exporters.errors import DeviceMissing, UnknownDevice

CPU_INFO = Path("/proc/cpuinfo")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Device:
    """Something that a network runs on; `name` and `aliases` are what people type."""

    name: str
    kind: str
    model: str
    cores: int
    uid: str = ""  # names this very device, everywhere: it is locked by it
    aliases: tuple[str, ...] = ()
    known: str = ""  # its name in devices.toml
    capability: str = ""  # a GPU's compute capability
    driver: str = ""
    memory_bytes: int = 0
    pci_bus_id: str = ""

    def conditions(self) -> dict[str, Any]:
        """The state of the machine and of the device now: load_1min, temperature_c, clock_mhz, power_w."""
        return conditions() | (gpu_conditions(self.uid) if self.kind == "gpu" else {})


def attached() -> tuple[Device, ...]:
    """This machine's CPU, and its NVIDIA GPUs where a driver is there."""
    return (_cpu(), *_named(gpus()))


def here(name: str) -> Device | None:
    """The attached device of that name or alias; case does not matter."""
    wanted = name.lower()
    return next((device for device in attached() if wanted in (device.name, *device.aliases)), None)


def find(name: str) -> Device:
    """The attached device of that name.

    Raises:
        DeviceMissing: it is known, and not attached; the message says what can be had without it.
        UnknownDevice: nobody knows it; the message lists those there are.
    """
    if device := here(name):
        return device
    there = attached()
    listed = ", ".join(f"{device.name} ({device.model})" for device in there)
    if known := look_up(name):
        raise DeviceMissing(_missing(known, listed, there[0].name))
    raise UnknownDevice(
        f"the device {name!r} is not attached to this machine, and not known.{near(name)} Attached: {listed}. "
        f"Type --device {there[0].name}, or nastool devices, which lists all that are known"
    )


def _missing(known: KnownDevice, listed: str, other: str) -> str:
    ways = [f"--device {other} to measure here"]
    if known.can_be_estimated:  # with its command: check and bench measure, and have no --estimate
        ways.append(f"nastool profile --device {known.name} --estimate for an estimate from its rates, labelled as one")
    ways.append("nastool db import FILE for a table that was measured on a machine that has it")
    text = (
        f"the device {known.name} ({known.model}) is not attached to this machine. Attached: {listed}. "
        f"Type {', or '.join(ways)}"
    )
    return f"{text}. Where there is one, networks run there with {known.runs_with}" if known.runs_with else text


def _cpu() -> Device:
    text = CPU_INFO.read_text() if CPU_INFO.exists() else ""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    known = recognize_cpu(frozenset((_field(text, "flags") or _field(text, "Features")).split()))
    # Containers have names of their own, and share the kernel and the cores with their neighbours.
    machine = BOOT_ID.read_text().strip() if BOOT_ID.exists() else platform.node()
    return Device(
        name="cpu",
        kind="cpu",
        model=_field(text, "model name") or platform.processor() or platform.machine(),
        cores=cores,
        uid=f"cpu-{machine}",
        aliases=(known.name, *known.aliases) if known else (),
        known=known.name if known else "",
    )


def _named(found: tuple[Gpu, ...]) -> tuple[Device, ...]:
    """Each has the name gpu0, gpu1...; the first of a known kind has that kind's name before it."""
    devices, taken = [], {"cpu"}
    for gpu in found:
        known = recognize_gpu(gpu.name)
        names = [*((known.name, *known.aliases) if known else ()), f"gpu{gpu.index}", "gpu", gpu.uuid.lower()]
        names = [name for name in names if name not in taken]
        taken.update(names)
        devices.append(
            Device(
                name=names[0],
                kind="gpu",
                model=gpu.name,
                cores=gpu.cores,
                uid=gpu.uuid,
                aliases=tuple(names[1:]),
                known=known.name if known else "",
                capability=gpu.capability,
                driver=gpu.driver,
                memory_bytes=gpu.memory_bytes,
                pci_bus_id=gpu.pci_bus_id,
            )
        )
    return tuple(devices)


def _field(cpu_info: str, label: str) -> str:
    """The first value of that label in /proc/cpuinfo."""
    for line in cpu_info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == label:
            return value.strip()
    return ""
