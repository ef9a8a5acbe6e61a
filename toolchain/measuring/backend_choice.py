"""Which backend measures on a device: the named one if it runs there, or the first default that can run."""

from collections.abc import Mapping
from types import MappingProxyType

from exporters import backends
from exporters.backends import Backend, PicksGpu
from exporters.cuda.gpus import gpus
from exporters.devices.attached import Device
from exporters.errors import BackendUnavailable
from exporters.remote.backends import remote_backend

# Kinds of device that a backend runs on. A backend that is not listed (fake, or one of your own) runs on any.
RUNS_ON: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "onnxruntime": ("cpu", "gpu"),
        "onnxruntime_tensorrt": ("gpu",),
        "tensorrt": ("gpu",),
        "tensorrt_rtx": ("gpu",),
    }
)
# The backends that `auto` tries, in this order; the first that can run is taken.
DEFAULTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"cpu": ("onnxruntime",), "gpu": ("tensorrt", "onnxruntime")}
)


def named_backend(name: str, device: Device) -> Backend:
    """The backend `name` for this device.

    Raises:
        BackendUnavailable: it is unknown, or does not run on devices of this kind.
    """
    kinds = RUNS_ON.get(name.partition(":")[0], (device.kind,))
    if device.kind not in kinds:
        raise BackendUnavailable(
            f"the backend {name} runs on a {' or '.join(kinds).upper()}, and the device {device.name} is a "
            f"{device.kind.upper()}{_own_reason(name, device)}. Give --backend {DEFAULTS[device.kind][-1]}, or "
            f"{_another_device(device)}"
        )
    backend = backends.load(name) if device.remote is None else remote_backend(device.remote, name)
    return _on_gpu(backend, device) if device.kind == "gpu" and isinstance(backend, PicksGpu) else backend


def _own_reason(name: str, device: Device) -> str:
    """Why it would not run on another device either."""
    reason = backends.load(name).unavailable_reason() if device.remote is None else None
    return f" (and {reason})" if reason else ""


def _another_device(device: Device) -> str:
    if device.remote is None:
        return "another --device; nastool doctor lists what is here"
    return f"--device {device.remote.address.machine}#gpu for the GPU of that machine"


def _on_gpu(backend: PicksGpu, device: Device) -> Backend:
    """NVML's places name a GPU for CUDA as well; its numbers do not."""
    if device.remote is None and not device.pci_bus_id and len(gpus()) > 1:
        raise BackendUnavailable(
            f"the driver does not report the PCI bus id of {device.name}, so it cannot be distinguished from "
            f"other GPUs. Leave one GPU visible to the driver, as docker run --gpus device={device.uid} does"
        )
    return backend.on_gpu(device.pci_bus_id)


def default_backend(device: Device) -> Backend:
    """The first of the device's defaults that can run here, or the last with its reason."""
    tried = [named_backend(name, device) for name in DEFAULTS.get(device.kind, ("onnxruntime",))]
    return next((backend for backend in tried if backend.unavailable_reason() is None), tried[-1])
