"""The devices that are attached to this machine."""

import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from exporters.cuda.nvml import Gpu, gpu_conditions, gpus
from exporters.devices.conditions import conditions
from exporters.devices.known import KnownDevice, look_up, near, recognize_cpu, recognize_gpu
from exporters.errors import DeviceMissing, UnknownDevice

CPU_INFO = Path("/proc/cpuinfo")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Device:
    """A device that networks run on; `name` and `aliases` are values of --device."""

    name: str
    kind: str
    model: str
    cores: int
    uid: str = ""  # identifies this device everywhere; its lock has this name
    aliases: tuple[str, ...] = ()
    known: str = ""  # its name in devices.toml
    capability: str = ""  # a GPU's compute capability
    driver: str = ""
    memory_bytes: int = 0
    pci_bus_id: str = ""

    def conditions(self) -> dict[str, object]:
        """The state of the machine and of the device now: load_1min, temperature_c, clock_mhz, power_w."""
        return conditions() | (gpu_conditions(self.uid) if self.kind == "gpu" else {})


def attached() -> tuple[Device, ...]:
    """The CPU of this machine, and its NVIDIA GPUs if there is a driver."""
    return (_cpu(), *_named(gpus()))


def here(name: str) -> Device | None:
    """The attached device of that name or alias; case does not matter."""
    lower = name.lower()
    return next((device for device in attached() if lower in (device.name, *device.aliases)), None)


def find(name: str) -> Device:
    """The attached device of that name.

    Raises:
        DeviceMissing: it is known but not attached; the message names the alternatives.
        UnknownDevice: it is unknown; the message lists the attached devices.
    """
    if device := here(name):
        return device
    devices = attached()
    listed = ", ".join(f"{device.name} ({device.model})" for device in devices)
    if known := look_up(name):
        raise DeviceMissing(_missing(known, listed, devices[0].name))
    raise UnknownDevice(
        f"the device {name!r} is not attached to this machine, and unknown.{near(name)} Attached: {listed}. "
        f"Give --device {devices[0].name}, or run nastool devices for a list of all known devices"
    )


def _missing(known: KnownDevice, listed: str, alternative: str) -> str:
    ways = [f"--device {alternative} to measure here"]
    if known.can_be_estimated:  # names profile: check and bench have no --estimate
        ways.append(f"nastool profile --device {known.name} --estimate for an estimate from its rates, labelled as one")
    ways.append("nastool db import FILE for a table from a machine that has it")
    text = (
        f"the device {known.name} ({known.model}) is not attached to this machine. Attached: {listed}. "
        f"Use {', or '.join(ways)}"
    )
    return f"{text}. On such a device networks run with {known.runs_with}" if known.runs_with else text


def _cpu() -> Device:
    text = CPU_INFO.read_text() if CPU_INFO.exists() else ""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    known = recognize_cpu(frozenset((_field(text, "flags") or _field(text, "Features")).split()))
    # Containers have different host names but share the kernel and the cores.
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


def _named(gpus: tuple[Gpu, ...]) -> tuple[Device, ...]:
    """Each is named gpu0, gpu1...; the first of a known model is named for the model."""
    devices, taken = [], {"cpu"}
    for gpu in gpus:
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
    """The first value of a label in /proc/cpuinfo."""
    for line in cpu_info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == label:
            return value.strip()
    return ""
