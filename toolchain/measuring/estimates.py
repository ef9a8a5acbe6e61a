"""Estimated latency of a whole network on a device that is not attached."""

from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.backends.roofline import estimate_ms
from toolchain.errors import BadConfig
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.rates import rates_of
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.spaces.core import Architecture, SearchSpace


def estimate_network(space: SearchSpace, arch: Architecture, device: str, batch: int, precision: str) -> float:
    """The estimated latency of a whole network on `device` in ms for a batch.

    Raises:
        UnknownDevice: the device is unknown.
        BadConfig: no rates are known for the device, or not in this precision, or the network has no latency.
    """
    known = rates_of(device)
    if precision != known.rates.precision:
        raise BadConfig(
            f"the rates of {device} are known in {known.rates.precision}, not in {precision}. "
            f"Give --precision {known.rates.precision}"
        )
    if space.quantizes(arch):
        raise BadConfig("networks with layers of 1 to 4 bits have no latency of their own. Estimate a float network")
    with TemporaryDirectory(prefix="nastool-") as folder:
        file = Path(folder) / "network.onnx"
        export_for_timing(Network(space, arch, STANDALONE), space.input_shape, file)
        return estimate_ms(file, batch, known.rates)
