"""The devices that are attached to this machine."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import psutil

from exporters.agent.machine import Machine, conditions, this_machine
from exporters.cuda.gpu import Gpu
from exporters.cuda.gpus import clocks_of, gpu_conditions, gpus
from exporters.devices.known import KnownDevice, look_up, near, recognize_cpu, recognize_gpu
from exporters.errors import DeviceMissing, UnknownDevice
from exporters.remote.address import is_remote

if TYPE_CHECKING:
    from exporters.remote.connection import Connection
    from exporters.remote.messages import Hello


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
    remote: "Connection | None" = field(default=None, compare=False)  # None: the device is attached to this machine

    def machine(self) -> "Machine | Hello":
        """The machine that has the device."""
        return this_machine() if self.remote is None else self.remote.hello

    def clocks(self) -> str:
        """The clock settings of the device, which are part of its target."""
        if self.kind == "gpu":
            return clocks_of(self.pci_bus_id) if self.remote is None else self.remote.facts.gpu(self.uid).clocks
        return self.machine().clocks if self.kind == "cpu" else ""

    def conditions(self) -> dict[str, object]:
        """The state of the machine and of the device now: load_1min, temperature_c, clock_mhz, power_w."""
        if self.remote is not None:
            return self.remote.conditions(self.uid if self.kind == "gpu" else "")
        return {**conditions(), **(gpu_conditions(self.uid) if self.kind == "gpu" else {})}

    def as_dict(self) -> dict[str, Any]:
        """The fields for JSON."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "remote"}


def attached() -> tuple[Device, ...]:
    """The CPU of this machine, and its NVIDIA GPUs if there is a driver."""
    return (_cpu(), *named_gpus(gpus()))


def here(name: str) -> Device | None:
    """The attached device of that name or alias; case does not matter."""
    lower = name.lower()
    return next((device for device in attached() if lower in (device.name, *device.aliases)), None)


def require_device_name(name: str) -> None:
    """Check that a name is that of an attached device, or an address, which is not connected to.

    Raises:
        DeviceMissing, UnknownDevice: see `find`.
    """
    if not is_remote(name):
        find(name)


def find(name: str) -> Device:
    """The attached device of that name, or the remote device with that address.

    Raises:
        DeviceMissing: it is known but not attached; the message names the alternatives.
        UnknownDevice: it is unknown; the message lists the attached devices.
        DeviceUnreachable, DeviceFailed: it is remote, and cannot be used.
    """
    if is_remote(name):
        from exporters.remote.device import remote_device

        return remote_device(name)
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
        ways.append(f"nastool profile --device {known.name} --estimate for an estimate from its rates, labeled as one")
    ways.append("nastool db import FILE for a table from a machine that has it")
    text = (
        f"the device {known.name} ({known.model}) is not attached to this machine. Attached: {listed}. "
        f"Use {', or '.join(ways)}"
    )
    return f"{text}. On such a device networks run with {known.runs_with}" if known.runs_with else text


def _cpu() -> Device:
    machine = this_machine()
    known = recognize_cpu(frozenset(machine.flags.split()))
    return Device(
        name="cpu",
        kind="cpu",
        model=machine.model,
        cores=machine.cores or psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        uid=machine.uid,
        aliases=(known.name, *known.aliases) if known else (),
        known=known.name if known else "",
    )


def named_gpus(gpus: Sequence[Gpu], remote: "Connection | None" = None) -> tuple[Device, ...]:
    """Each is named gpu0, gpu1...; the first of a known model is named for the model.

    Args:
        remote: to the machine that has them; None for this machine.
    """
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
                remote=remote,
            )
        )
    return tuple(devices)
