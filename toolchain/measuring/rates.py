"""Rates that devices reach in practice, for estimates of devices that are not attached."""

from dataclasses import dataclass

from exporters.backends.roofline import Rates
from exporters.devices.attached import here
from exporters.devices.known import find_known, look_up
from exporters.remote.address import is_remote
from toolchain.errors import BadConfig

FITTED_DEVICE = "titanxp"  # its rates were fitted to measured networks


@dataclass(frozen=True)
class KnownRates:
    """The rates of a device model and where they come from."""

    model: str
    rates: Rates
    source: str


def rates_of(device: str) -> KnownRates:
    """The rates of a device: fitted ones, or the same fraction of its peak rates that `FITTED_DEVICE` reached.

    Raises:
        UnknownDevice: the device is unknown.
        BadConfig: its rates are not known, or it is attached or remote and can be measured.
    """
    if is_remote(device):
        raise BadConfig(f"the remote device {device} is measured, not estimated. Leave out --estimate")
    named = look_up(device)
    if (named is None or not named.can_be_estimated) and (attached := here(device)):
        raise BadConfig(
            f"the device {device} ({attached.model}) is attached and can be measured, so it is not estimated. "
            f"Give --device {device} without --estimate"
        )
    known = named or find_known(device)  # which says what is near
    if (fitted := known.roofline) is not None:
        source = f"fitted on {fitted.fitted_on}"
        return KnownRates(known.model, Rates(fitted.flops_per_s, fitted.bytes_per_s), source)
    if known.fp32_flops_per_s is None or known.bytes_per_s is None:
        raise BadConfig(
            f"no rates are known for the device {device!r}, so it cannot be estimated. nastool devices lists those "
            f"that can be; measure this one without --estimate where it is attached"
        )
    like = find_known(FITTED_DEVICE)
    assert like.roofline is not None
    assert like.fp32_flops_per_s is not None
    assert like.bytes_per_s is not None
    flops, n_bytes = like.roofline.flops_per_s / like.fp32_flops_per_s, like.roofline.bytes_per_s / like.bytes_per_s
    return KnownRates(
        known.model,
        Rates(flops * known.fp32_flops_per_s, n_bytes * known.bytes_per_s),
        f"the fractions of the peak rates that a {like.model} reached ({flops:.0%} of the arithmetic, "
        f"{n_bytes:.0%} of the bandwidth): this device was not measured, so the estimate is less accurate still",
    )
