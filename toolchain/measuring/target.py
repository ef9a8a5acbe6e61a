"""The device and backend that a configuration names, and what their target is, field by field."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from exporters import backends
from exporters.backends import Backend, PicksGpu, onnxruntime
from exporters.backends.roofline import Backend as Roofline
from exporters.cuda import nvml
from exporters.devices.attached import Device, find
from exporters.devices.known import KnownDevice, look_up
from exporters.errors import BackendUnavailable, OtherPrecision
from exporters.graph.precision import precision_of
from exporters.graph.to_onnx import EXPORTER
from exporters.timing import PROTOCOL_VERSION
from latency_db.store import open_store
from latency_db.target import Target
from toolchain.config import ProfileConfig
from toolchain.costs.latency import REGRESSION
from toolchain.measuring.clocks import cpu_clocks
from toolchain.measuring.rates import rates_of

AUTO = "auto"
# What runs on what. A backend that isn't listed (fake, or one of your own) runs on anything.
RUNS_ON: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "onnxruntime": ("cpu", "gpu"),
        "onnxruntime_tensorrt": ("gpu",),
        "tensorrt": ("gpu",),
        "tensorrt_rtx": ("gpu",),
    }
)
# Tried in this order where no backend is named; the first that can run is taken, and is a part of the target.
DEFAULTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"cpu": ("onnxruntime",), "gpu": ("tensorrt", "onnxruntime")}
)


def usable_backend(config: ProfileConfig) -> Backend:
    """The backend that the configuration names, for its device; with `estimate`, the roofline of that device.

    Raises:
        UnknownDevice: the device is not here.
        BadConfig: an estimate of a device without known rates.
        BackendUnavailable: the backend can't run here, not on such a device, or not in this precision; the message
            has the reason and the remedy.
    """
    if config.target:
        raise BackendUnavailable(
            f"nothing is measured under --target: {config.target} may be of another machine. Leave it away to measure"
        )
    if config.estimate:
        backend: Backend = Roofline(rates_of(config.device).rates)
    elif config.backend == REGRESSION:
        raise BackendUnavailable(
            "tables of the backend regression are fitted to networks that were measured elsewhere, and nothing can be "
            "measured with it here. Type nastool db fit, or give another --backend"
        )
    else:
        device = find(config.device)
        backend = _default(device) if config.backend == AUTO else _named(config.backend, device)
        if reason := backend.unavailable_reason():
            raise BackendUnavailable(f"the backend {backend.name} can't run here: {reason}")
    compute_precision(backend, config.precision)
    return backend


def in_own_precision(file: Path, profile: ProfileConfig) -> ProfileConfig:
    """Precision lives in the file, so a target that a file runs on is one of that precision.

    Raises:
        NotOnnx: the file can't be read.
    """
    return profile.model_copy(update={"precision": precision_of(file)})


def require_own_precision(file: Path | str, profile: ProfileConfig, instead: str) -> None:
    """Refuse a file that would be computed in another precision than its own, which is the one in `profile`.

    Args:
        instead: what to type then.

    Raises:
        as `usable_backend`.
    """
    try:
        usable_backend(profile)
    except OtherPrecision as problem:
        raise OtherPrecision(f"{file} can't be timed on {profile.device}: {problem.reason}", instead) from None


def target_of(config: ProfileConfig) -> Target:
    """The target that measurements under this configuration belong to.

    Raises:
        as `usable_backend`.
        UnknownTarget: `target` is none of the table.
    """
    if config.target:
        with open_store(config.db) as store:
            return store.target(config.target)
    if config.backend == REGRESSION and not config.estimate:
        return regression_target(config)
    backend = usable_backend(config)
    if config.estimate:
        return _estimate_target(backend, config)
    return make_target(find(config.device), backend, config)


def regression_target(config: ProfileConfig) -> Target:
    """The target of tables that were fitted for the device of that name; nothing of this machine is in it.

    Raises:
        UnknownDevice: it is neither known nor attached.
    """
    device: Device | KnownDevice = look_up(config.device) or find(config.device)
    return Target(
        device_model=device.model,
        device_cores=0,
        backend=REGRESSION,
        backend_version="1",
        provider="whole networks",
        precision=config.precision,
        batch=config.batch,
        threads=1,
        affinity="",
        os="",
        exporter="",
        protocol_version=0,
        device_kind=device.kind,
        capability="",
        driver="",
        compute_precision=config.precision,
        clocks="",
    )


def make_target(device: Device, backend: Backend, config: ProfileConfig) -> Target:
    """The identity of `device` with `backend` as it would run now."""
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    gpu = _gpu(device)
    return Target(
        device_model=device.model,
        device_cores=device.cores,
        backend=backend.name,
        backend_version=backend.version(),
        provider=backend.provider,
        precision=config.precision,
        batch=config.batch,
        threads=config.threads,
        affinity=",".join(map(str, affinity)),
        os=platform.platform(),
        exporter=_exporter(),
        protocol_version=PROTOCOL_VERSION,
        device_kind=device.kind,
        capability=gpu.capability if gpu else "",
        driver=gpu.driver if gpu else "",
        compute_precision=compute_precision(backend, config.precision),
        clocks=nvml.clocks_of(gpu.pci_bus_id) if gpu else cpu_clocks() if device.kind == "cpu" else "",
    )


def compute_precision(backend: Backend, asked: str) -> str:
    """What `backend` computes in where a file of the precision `asked` is given to it.

    Raises:
        OtherPrecision: something else, so that its latency would be that of another precision.
    """
    provider = backend.provider
    if provider == onnxruntime.CPU and asked == "fp16" and platform.machine() in ("x86_64", "AMD64"):
        raise OtherPrecision(
            "onnxruntime computes fp16 files in fp32 on x86 CPUs, with casts round each layer: the file is smaller, "
            "and slower",
            'Profile and search in fp32 (--precision fp32, or precision = "fp32" under [profile] in nastool.toml), or '
            "in fp16 on a GPU",
        )
    if isinstance(backend, Roofline) and asked != "fp32":
        raise OtherPrecision(
            f"estimates are made in fp32, not in {asked}",
            'Give --precision fp32, or write precision = "fp32" under [profile] in nastool.toml',
        )
    if provider == onnxruntime.TENSORRT and asked == "fp16":
        raise OtherPrecision(
            "onnxruntime's TensorRT provider builds weakly typed engines, which may compute an fp16 file in fp32",
            "Give --precision fp32, or --backend tensorrt or onnxruntime, which compute fp16 as it is written",
        )
    if provider == onnxruntime.TENSORRT and asked == "fp32":
        return "tf32"  # its engines are built with TensorRT's default, and there is no option to change that
    return asked


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
            f"the driver does not tell the PCI bus id of {device.name}, so it can't be told from the other GPUs. Leave "
            f"one GPU visible to the driver, as docker run --gpus device={device.uid} does"
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


def _estimate_target(backend: Backend, config: ProfileConfig) -> Target:
    """Nothing of this machine is in it: the same estimate is made anywhere."""
    return Target(
        device_model=rates_of(config.device).model,
        device_cores=0,
        backend=backend.name,
        backend_version=backend.version(),
        provider=backend.provider,
        precision=config.precision,
        batch=config.batch,
        threads=1,
        affinity="",
        os="",
        exporter=_exporter(),
        protocol_version=PROTOCOL_VERSION,
        device_kind="estimate",
        capability="",
        driver="",
        compute_precision=config.precision,
        clocks="",
    )


def _exporter() -> str:
    return f"torch {version('torch')} {EXPORTER}"
