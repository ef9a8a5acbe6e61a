"""What a latency is measured on: a device, a backend, and their identity, resolved once for each command."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from types import MappingProxyType

from exporters import backends
from exporters.backends import Backend, CompileSpec, PicksGpu, onnxruntime
from exporters.backends.roofline import Backend as Roofline
from exporters.cuda import nvml
from exporters.devices.attached import Device, find
from exporters.devices.known import KnownDevice, look_up
from exporters.errors import BackendUnavailable, OtherPrecision
from exporters.graph.to_onnx import EXPORTER
from exporters.timing import PROTOCOL_VERSION
from latency_db.locks import lock_folder
from latency_db.target import Target
from toolchain.costs.latency import REGRESSION
from toolchain.measuring.clocks import cpu_clocks
from toolchain.measuring.rates import rates_of

AUTO = "auto"
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

# A latency that was not measured here has the same target on every machine.
_OF_NO_MACHINE = Target(
    device_model="",
    device_cores=0,
    backend="",
    backend_version="",
    provider="",
    precision="",
    batch=1,
    threads=1,
    affinity="",
    os="",
    exporter="",
    protocol_version=0,
    device_kind="",
    capability="",
    driver="",
    compute_precision="",
    clocks="",
)


@dataclass(frozen=True)
class TargetSpec:
    """The settings that select a target.

    Args:
        device: a name from `nastool devices`.
        backend: a backend with its settings (`fake:noise=0.02`), or `auto`.
        precision: of the files that are measured.
        batch: images in a call.
        threads: CPU threads of the runtime.
        estimate: compute latencies from the known rates of the device, which need not be attached.
    """

    device: str = "cpu"
    backend: str = AUTO
    precision: str = "fp32"
    batch: int = 32
    threads: int = 1
    estimate: bool = False


@dataclass(frozen=True)
class ReadyTarget:
    """A target with the device and backend that measure on it.

    Args:
        target: the identity that measurements are stored under.
        backend: a backend that can run on the device.
        device: the attached device; None for an estimate.
        spec: the settings that it was resolved from.
    """

    target: Target
    backend: Backend
    device: Device | None
    spec: TargetSpec

    def for_precision(self, precision: str) -> "ReadyTarget":
        """The same target for files of another precision; device and backend are not looked up again.

        Raises:
            OtherPrecision: the backend computes files of this precision in another one.
        """
        computed = compute_precision(self.backend, precision)
        return replace(
            self,
            target=replace(self.target, precision=precision, compute_precision=computed),
            spec=replace(self.spec, precision=precision),
        )

    @property
    def compile_spec(self) -> CompileSpec:
        """How files are compiled for it."""
        return CompileSpec(self.target.batch, self.spec.threads, self.target.precision)

    def conditions(self) -> dict[str, object]:
        """Load of the machine and state of the device now; empty for an estimate."""
        return {} if self.device is None else self.device.conditions()


def ready_target(spec: TargetSpec) -> ReadyTarget:
    """Look up the device and its backend, once for each command.

    Raises:
        UnknownDevice, DeviceMissing: the device is unknown, or not attached.
        BadConfig: no rates are known for a device to estimate.
        BackendUnavailable: the backend cannot run here, on this device, or in this precision.
        DatabaseUnwritable: the folder of device locks does not exist.
    """
    if spec.estimate:
        known = rates_of(spec.device)
        roofline = Roofline(known.rates)
        compute_precision(roofline, spec.precision)
        return ReadyTarget(_estimate_target(roofline, known.model, spec), roofline, None, spec)
    if spec.backend == REGRESSION:
        raise BackendUnavailable(
            "the backend regression holds latencies that were fitted to networks measured elsewhere, so nothing can "
            "be measured with it. Run nastool db fit, or give another --backend"
        )
    device = find(spec.device)
    lock_folder()
    backend = _default(device) if spec.backend == AUTO else _named(spec.backend, device)
    if reason := backend.unavailable_reason():
        raise BackendUnavailable(f"the backend {backend.name} cannot run here: {reason}")
    return ReadyTarget(make_target(device, backend, spec), backend, device, spec)


def for_own_precision(target: ReadyTarget, precision: str, file: object, instead: str) -> ReadyTarget:
    """The target for a file of this precision.

    Args:
        file: name of the file in the error message.
        instead: what to do if the file cannot be measured here.

    Raises:
        OtherPrecision: the backend would compute the file in another precision.
    """
    try:
        return target.for_precision(precision)
    except OtherPrecision as problem:
        raise OtherPrecision(f"{file} cannot be timed on {target.spec.device}: {problem.reason}", instead) from None


def regression_target(device: str, precision: str, batch: int) -> Target:
    """The target of latencies that were fitted to networks measured elsewhere.

    Raises:
        UnknownDevice: the device is neither known nor attached.
    """
    named: Device | KnownDevice = look_up(device) or find(device)
    return replace(
        _OF_NO_MACHINE,
        device_model=named.model,
        device_kind=named.kind,
        backend=REGRESSION,
        backend_version="1",
        provider="whole networks",
        precision=precision,
        compute_precision=precision,
        batch=batch,
    )


def make_target(device: Device, backend: Backend, spec: TargetSpec) -> Target:
    """The identity of `device` with `backend` in their present state.

    Raises:
        OtherPrecision: the backend computes files of this precision in another one.
    """
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    gpu = _gpu(device)
    return Target(
        device_model=device.model,
        device_cores=device.cores,
        backend=backend.name,
        backend_version=backend.version(),
        provider=backend.provider,
        precision=spec.precision,
        batch=spec.batch,
        threads=spec.threads,
        affinity=",".join(map(str, affinity)),
        os=platform.platform(),
        exporter=_exporter(),
        protocol_version=PROTOCOL_VERSION,
        device_kind=device.kind,
        capability=gpu.capability if gpu else "",
        driver=gpu.driver if gpu else "",
        compute_precision=compute_precision(backend, spec.precision),
        clocks=nvml.clocks_of(gpu.pci_bus_id) if gpu else cpu_clocks() if device.kind == "cpu" else "",
    )


def compute_precision(backend: Backend, precision: str) -> str:
    """The precision in which `backend` computes files of `precision`.

    Raises:
        OtherPrecision: it would compute in another one, so the latency would not be that of the file's precision.
    """
    provider = backend.provider
    if provider == onnxruntime.CPU and precision == "fp16" and platform.machine() in ("x86_64", "AMD64"):
        raise OtherPrecision(
            "onnxruntime computes fp16 files in fp32 on x86 CPUs, with casts round each layer: the file is smaller, "
            "and slower",
            'Profile and search in fp32 (--precision fp32, or precision = "fp32" under [profile] in nastool.toml), or '
            "in fp16 on a GPU",
        )
    if isinstance(backend, Roofline) and precision != "fp32":
        raise OtherPrecision(
            f"estimates are made in fp32, not in {precision}",
            'Give --precision fp32, or write precision = "fp32" under [profile] in nastool.toml',
        )
    if provider == onnxruntime.TENSORRT and precision == "fp16":
        raise OtherPrecision(
            "onnxruntime's TensorRT provider builds weakly typed engines, which may compute an fp16 file in fp32",
            "Give --precision fp32, or --backend tensorrt or onnxruntime, which compute fp16 as it is written",
        )
    if provider == onnxruntime.TENSORRT and precision == "fp32":
        return "tf32"  # its engines are built with TensorRT's default, and there is no option to change that
    return precision


def _named(name: str, device: Device) -> Backend:
    kinds = RUNS_ON.get(name.partition(":")[0])
    backend = backends.load(name)
    if kinds is not None and device.kind not in kinds:
        reason = backend.unavailable_reason()
        raise BackendUnavailable(
            f"the backend {name} runs on a {' or '.join(kinds).upper()}, and the device {device.name} is a "
            f"{device.kind.upper()}{f' (and {reason})' if reason else ''}. Give --backend {DEFAULTS[device.kind][-1]}, "
            f"or another --device; nastool doctor lists what is here"
        )
    return _on_gpu(backend, device) if device.kind == "gpu" and isinstance(backend, PicksGpu) else backend


def _on_gpu(backend: PicksGpu, device: Device) -> Backend:
    """NVML's places name a GPU for CUDA as well; its numbers do not."""
    if not device.pci_bus_id and len(nvml.gpus()) > 1:
        raise BackendUnavailable(
            f"the driver does not report the PCI bus id of {device.name}, so it cannot be distinguished from "
            f"other GPUs. Leave one GPU visible to the driver, as docker run --gpus device={device.uid} does"
        )
    return backend.on_gpu(device.pci_bus_id)


def _default(device: Device) -> Backend:
    """The first of the device's defaults that can run here, or the last with its reason."""
    tried = [_named(name, device) for name in DEFAULTS.get(device.kind, ("onnxruntime",))]
    return next((backend for backend in tried if backend.unavailable_reason() is None), tried[-1])


def _gpu(device: Device) -> nvml.Gpu | None:
    """What NVML knows of this very GPU; others may be of its model."""
    if device.kind != "gpu":
        return None
    return next((gpu for gpu in nvml.gpus() if gpu.uuid == device.uid), None)


def _estimate_target(backend: Backend, model: str, spec: TargetSpec) -> Target:
    return replace(
        _OF_NO_MACHINE,
        device_model=model,
        device_kind="estimate",
        backend=backend.name,
        backend_version=backend.version(),
        provider=backend.provider,
        precision=spec.precision,
        compute_precision=spec.precision,
        batch=spec.batch,
        exporter=_exporter(),
        protocol_version=PROTOCOL_VERSION,
    )


def _exporter() -> str:
    return f"torch {version('torch')} {EXPORTER}"
