"""A remote device as a value of --device."""

from dataclasses import replace

from exporters.devices.attached import Device, named_gpus
from exporters.devices.known import recognize_cpu
from exporters.errors import DeviceMissing, UnknownDevice
from exporters.remote.address import parse_address
from exporters.remote.connection import Connection, connect

CPU = "cpu"


def remote_device(text: str) -> Device:
    """Connect to the device with this address.

    Raises:
        UnknownDevice: it is not a valid address, or names another device than those of its machine.
        DeviceMissing: it names a GPU, and the machine has none.
        DeviceUnreachable, DeviceFailed: see `connect`.
    """
    connection = connect(parse_address(text))
    if connection.address.on_machine == CPU:
        return replace(_cpu(connection), name=text)
    return replace(_gpu(connection), name=text)


def devices_of(connection: Connection) -> tuple[Device, ...]:
    """The CPU and the GPUs of a machine, each with the address that names it."""
    machine = connection.address.machine
    gpus = (replace(gpu, name=f"{machine}#{gpu.name}") for gpu in _gpus(connection))
    return (replace(_cpu(connection), name=machine), *gpus)


def _cpu(connection: Connection) -> Device:
    hello = connection.hello
    known = recognize_cpu(frozenset(hello.flags.split()))
    return Device(
        name=CPU,
        kind="cpu",
        model=hello.model,
        cores=hello.cores,
        uid=hello.uid,
        known=known.name if known else "",
        memory_bytes=hello.memory_bytes,
        remote=connection,
    )


def _gpus(connection: Connection) -> tuple[Device, ...]:
    return named_gpus([reply.gpu for reply in connection.facts.gpus()], connection)


def _gpu(connection: Connection) -> Device:
    """The GPU that the address names."""
    machine, name = connection.address.machine, connection.address.on_machine
    gpus = _gpus(connection)
    if not gpus:
        raise DeviceMissing(
            f"{machine} has no NVIDIA GPU with its driver, so there is no #{name}. Leave it out to measure on the CPU, "
            f"or install the driver there: nvidia-smi must list the GPU"
        )
    device = next((gpu for gpu in gpus if name in (gpu.name, *gpu.aliases)), None)
    if device is None:
        listed = ", ".join(f"{machine}#{gpu.name} ({gpu.model})" for gpu in gpus)
        raise UnknownDevice(
            f"{machine} has no device {name!r}. It has {machine} (its CPU) and {listed}. Give one of them as --device"
        )
    if len(gpus) > 1 and not device.pci_bus_id:
        raise DeviceMissing(
            f"the driver of {machine} does not report the PCI bus id of {name}, so it cannot be distinguished from "
            f"other GPUs. Leave one GPU visible to the driver there"
        )
    return device
