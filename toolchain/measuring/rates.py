"""The rates that devices are known to reach, for estimates of those that aren't here."""

from dataclasses import dataclass

from exporters.backends.roofline import Rates
from exporters.devices.attached import here
from exporters.devices.known import find_known, look_up
from toolchain.errors import BadConfig

REACHED = "titanxp"  # the device whose rates were fitted to measured networks


@dataclass(frozen=True)
class KnownRates:
    """A device's rates, the model that bears them, and what they were fitted on."""

    model: str
    rates: Rates
    source: str


def rates_of(device: str) -> KnownRates:
    """The rates of a device: fitted ones, or the shares of its peaks that the fitted device reached of its own.

    Raises:
        UnknownDevice: nobody knows it.
        BadConfig: neither rates nor peaks are known of it, or it is attached and no rates are needed.
    """
    named = look_up(device)
    if (named is None or not named.can_be_estimated) and (attached := here(device)):
        raise BadConfig(
            f"the device {device} ({attached.model}) is here and can be measured, so it isn't estimated. "
            f"Type --device {device} without --estimate"
        )
    known = named or find_known(device)  # which says what is near
    if (fitted := known.roofline) is not None:
        source = f"fitted on {fitted.fitted_on}"
        return KnownRates(known.model, Rates(fitted.flops_per_s, fitted.bytes_per_s), source)
    if known.fp32_flops_per_s is None or known.bytes_per_s is None:
        raise BadConfig(
            f"no rates are known of the device {device!r}, so it can't be estimated. nastool devices lists those that "
            f"can be; measure this one without --estimate where it is"
        )
    like = find_known(REACHED)
    assert like.roofline is not None
    assert like.fp32_flops_per_s is not None
    assert like.bytes_per_s is not None
    flops, n_bytes = like.roofline.flops_per_s / like.fp32_flops_per_s, like.roofline.bytes_per_s / like.bytes_per_s
    return KnownRates(
        known.model,
        Rates(flops * known.fp32_flops_per_s, n_bytes * known.bytes_per_s),
        f"the shares of its peak rates that a {like.model} reached of its own ({flops:.0%} of the arithmetic, "
        f"{n_bytes:.0%} of the bandwidth): nothing of it was measured, so it is rougher still",
    )
