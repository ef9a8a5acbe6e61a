"""Estimates of devices that aren't here, from the rates that they are known to reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.backends.roofline import Rates, estimate_ms
from toolchain.config import ProfileConfig
from toolchain.errors import BadConfig
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.spaces.core import Architecture, SearchSpace


@dataclass(frozen=True)
class KnownRates:
    """A device's rates, the model that bears them, and what they were fitted on."""

    model: str
    rates: Rates
    source: str


# Least squares of the relative errors over the five networks of the paper's Table 5, batch 32, counted by
# exporters/kernels.py; tests/golden/test_titanxp_estimates.py fits them again. The peaks are 12.15 TFLOP/s and
# 547.6 GB/s. The five latencies are printed in whole ms, which alone moves the rates by about 10 %.
RATES: Mapping[str, KnownRates] = {
    "titanxp": KnownRates(
        "NVIDIA TITAN Xp",
        Rates(flops_per_s=2.03e12, bytes_per_s=2.01e11),
        "fitted on the five networks of the paper's Table 5 at batch 32: in-sample, within 6 % of those",
    )
}


def rates_of(device: str) -> KnownRates:
    """The rates of a device.

    Raises:
        BadConfig: none are known of it; the message lists the devices that have some.
    """
    if device not in RATES:
        raise BadConfig(
            f"no rates are known of the device {device!r}, so it can't be estimated. Give --device "
            f"{' or '.join(RATES)}, or measure it without --estimate where it is"
        )
    return RATES[device]


def estimate_network(config: ProfileConfig, space: SearchSpace, arch: Architecture) -> float:
    """The estimated latency of a whole network in ms a batch, on the configuration's device.

    Raises:
        BadConfig: no rates are known of the device, or not in this precision, or the network has no latency.
    """
    from toolchain.profiling.profiler import export_for_timing

    known = rates_of(config.device)
    if config.precision != known.rates.precision:
        raise BadConfig(
            f"the rates of {config.device} are known in {known.rates.precision}, not in {config.precision}. "
            f"Give --precision {known.rates.precision}"
        )
    if any(choice.quantized for choice in space.choices_of(arch)):
        raise BadConfig(
            "networks with layers of 1 to 4 bits have no latency of their own. Estimate one of float layers"
        )
    with TemporaryDirectory(prefix="nastool-") as folder:
        file = Path(folder) / "network.onnx"
        export_for_timing(Network(space, arch, STANDALONE), space.input_shape, file)
        return estimate_ms(file, config.batch, known.rates)
