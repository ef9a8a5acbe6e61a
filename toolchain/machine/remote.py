"""What works on a remote device, for `nastool doctor --device ssh://user@host`."""

from collections.abc import Iterator
from dataclasses import dataclass

from exporters.devices.attached import Device
from exporters.errors import DeviceFailed, DeviceUnreachable
from exporters.remote.address import parse_address
from exporters.remote.backends import MODULES, PROVIDERS, remote_backend
from exporters.remote.connection import Connection, connect
from exporters.remote.device import devices_of
from toolchain.measuring.backend_choice import named_backend

GIGA = 1e9


@dataclass(frozen=True)
class Diagnosis:
    """A capability of a machine; if it does not work, `detail` has the reason and the remedy."""

    what: str
    works: bool
    detail: str


def examine_remote(address: str) -> tuple[Diagnosis, ...]:
    """Connect to a remote device and examine its machine.

    Raises:
        UnknownDevice: `address` is not valid.
    """
    try:
        connection = connect(parse_address(address))
        _, *gpus = devices_of(connection)
        if not gpus:
            none = f"no NVIDIA GPU with its driver on {connection.address.machine}; its CPU can be measured"
            return (*_machine(connection), Diagnosis("its GPUs", False, none))
        return (*_machine(connection), *(diagnosis for gpu in gpus for diagnosis in _gpu(gpu)))
    except (DeviceUnreachable, DeviceFailed) as problem:
        return (Diagnosis(f"device {address}", False, str(problem)),)


def _machine(connection: Connection) -> Iterator[Diagnosis]:
    hello = connection.hello
    memory = f"{hello.memory_bytes / GIGA:.1f} GB of memory"
    state = [f"{key.replace('_', ' ')} {value}" for key, value in connection.conditions().items()]
    reason = remote_backend(connection, "onnxruntime").unavailable_reason()
    yield Diagnosis(
        f"device {connection.address.machine}", True, f"{hello.model}, {hello.cores} cores, {memory}, {hello.os}"
    )
    yield Diagnosis("its Python", True, f"{hello.python}, {hello.executable}")
    yield Diagnosis("its backend onnxruntime", reason is None, reason or f"{hello.onnxruntime}, numpy {hello.numpy}")
    yield Diagnosis("its clocks", True, f"clocks {hello.clocks}, {', '.join(state)}")
    yield Diagnosis("its files", True, f"{hello.folder}, {hello.free_bytes / GIGA:.1f} GB free")


def _gpu(gpu: Device) -> Iterator[Diagnosis]:
    capability = f"compute capability {gpu.capability or 'unknown'}"
    yield Diagnosis(
        f"device {gpu.name}", True, f"{gpu.model}, {capability}, driver {gpu.driver}, clocks {gpu.clocks()}"
    )
    for name in (*PROVIDERS, *MODULES):
        backend = named_backend(name, gpu)
        reason = backend.unavailable_reason()
        what = f"its backend {name} on {gpu.name.rpartition('#')[2]}"
        yield Diagnosis(what, reason is None, reason or f"{backend.version()}, {backend.provider}")
