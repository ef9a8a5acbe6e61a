"""The identity that measurements are stored under: of a device and its backend now, of an estimate, of a fit."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from exporters.backends import Backend
from exporters.devices.attached import Device, find
from exporters.devices.known import KnownDevice, look_up
from exporters.graph.interface import EXPORTER
from exporters.timing import PROTOCOL_VERSION
from latency_db.target import Target
from toolchain.costs.regression import REGRESSION
from toolchain.measuring.compute_precision import compute_precision
from toolchain.measuring.target_spec import TargetSpec

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


def make_target(device: Device, backend: Backend, spec: TargetSpec) -> Target:
    """The identity of `device` with `backend` in their present state.

    Raises:
        OtherPrecision: the backend computes files of this precision in another one.
    """
    host = device.machine()
    return Target(
        device_model=device.model,
        device_cores=device.cores,
        backend=backend.name,
        backend_version=backend.version(),
        provider=backend.provider,
        precision=spec.precision,
        batch=spec.batch,
        threads=spec.threads,
        affinity=host.affinity,
        os=host.os,
        exporter=_exporter(),
        protocol_version=PROTOCOL_VERSION,
        device_kind=device.kind,
        capability=device.capability,
        driver=device.driver,
        compute_precision=compute_precision(backend, spec.precision, device),
        clocks=device.clocks(),
    )


def estimate_target(backend: Backend, model: str, spec: TargetSpec) -> Target:
    """The identity of latencies that `backend` estimates for a device of this model."""
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


def _exporter() -> str:
    """What files are exported with here; empty without torch, where only given files are timed."""
    try:
        return f"torch {version('torch')} {EXPORTER}"
    except PackageNotFoundError:
        return ""
