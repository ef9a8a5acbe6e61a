"""A whole network, exported, compiled and timed, with the interval that its rounds leave it in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from latency_db.table import Sample, round_ms, summarise
from toolchain.config import ProfileConfig
from toolchain.intervals import figure_of, latency_interval
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.measure import trusted_rounds
from toolchain.profiling.profiler import export_for_timing
from toolchain.profiling.stack import context_of
from toolchain.progress import Progress
from toolchain.spaces.core import Architecture, SearchSpace

LEVEL = 0.95


@dataclass(frozen=True)
class Measurement:
    """A measured latency in ms a batch, and the upper end of its one-sided 95 % interval.

    `unstable` says why it can't be trusted; what disturbs a call only ever makes it slower.
    """

    latency_ms: float
    upper_ms: float
    unstable: str = ""


def measure_network(
    space: SearchSpace, arch: Architecture, config: ProfileConfig, seed: int, progress: Progress
) -> Measurement:
    """Time the network of `arch` as the latency table's rows are timed."""
    with TemporaryDirectory(prefix="nastool-") as folder:
        file = Path(folder) / "network.onnx"
        export_for_timing(Network(space, arch, STANDALONE), space.input_shape, file, config.precision)
        return measure_whole(file, config, seed, progress)


def measure_whole(file: Path, config: ProfileConfig, seed: int, progress: Progress) -> Measurement:
    """Time an exported file."""
    kind = context_of(config).device_kind
    rounds = trusted_rounds({"network": file}, config, seed, {}, progress, "measure candidate")
    return measurement([samples["network"] for _, samples in rounds if "network" in samples], config.threads, kind)


def measurement(rounds: Sequence[Sample], threads: int, kind: str = "cpu") -> Measurement:
    """The headline figure of the rounds, and how far up it might have come out: a machine whose rounds differ leaves
    a wide interval, one whose rounds agree a narrow one. Of a few rounds, that is the slowest."""
    good = [sample for sample in rounds if not sample.disturbed] or rounds
    found = latency_interval(good, figure_of(threads, kind), 2 * (1 - LEVEL))
    upper_ms = min(found.high, max(round_ms(sample, threads, kind) for sample in good))
    return Measurement(found.middle, upper_ms, summarise(rounds, threads, kind).unstable)
