"""What a latency is measured on: a device, a backend, and their identity, resolved once for each command."""

from dataclasses import dataclass, replace

from exporters.backends import Backend, CompileSpec
from exporters.backends.roofline import Backend as Roofline
from exporters.devices.attached import Device, find
from exporters.errors import BackendUnavailable, ConnectionLost, OtherPrecision
from latency_db.locks import lock_folder
from latency_db.target import Target
from toolchain.costs.regression import REGRESSION
from toolchain.measuring.backend_choice import default_backend, named_backend
from toolchain.measuring.compute_precision import compute_precision
from toolchain.measuring.rates import rates_of
from toolchain.measuring.target_identity import estimate_target, make_target
from toolchain.measuring.target_spec import AUTO, TargetSpec


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
        computed = compute_precision(self.backend, precision, self.device)
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
        """Load of the machine and state of the device now; empty for an estimate, or if the connection was lost."""
        try:
            return {} if self.device is None else self.device.conditions()
        except ConnectionLost:  # they explain a latency, and are no reason to lose it
            return {}


def ready_target(spec: TargetSpec) -> ReadyTarget:
    """Look up the device and its backend, once for each command.

    Raises:
        UnknownDevice, DeviceMissing: the device is unknown, or not attached.
        DeviceUnreachable, DeviceFailed: it is remote, and cannot be used.
        BadConfig: no rates are known for a device to estimate.
        BackendUnavailable: the backend cannot run here, on this device, or in this precision.
        DatabaseUnwritable: the folder of device locks does not exist.
    """
    if spec.estimate:
        known = rates_of(spec.device)
        roofline = Roofline(known.rates)
        compute_precision(roofline, spec.precision)
        return ReadyTarget(estimate_target(roofline, known.model, spec), roofline, None, spec)
    if spec.backend == REGRESSION:
        raise BackendUnavailable(
            "the backend regression holds latencies that were fitted to networks measured elsewhere, so nothing can "
            "be measured with it. Run nastool db fit, or give another --backend"
        )
    device = find(spec.device)
    lock_folder()
    backend = default_backend(device) if spec.backend == AUTO else named_backend(spec.backend, device)
    if reason := backend.unavailable_reason():
        where = "here" if device.remote is None else f"on {device.name}"
        raise BackendUnavailable(f"the backend {backend.name} cannot run {where}: {reason}")
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
