"""A whole network, exported, compiled and timed, with the interval that its rounds leave it in."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from latency_db.table import Sample, summarise
from toolchain.config import ProfileConfig
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.measure import rounds_of
from toolchain.profiling.profiler import export_for_timing
from toolchain.progress import Progress
from toolchain.spaces.core import Architecture, SearchSpace

RESAMPLES = 400
LEVEL = 0.95


@dataclass(frozen=True)
class Measurement:
    """A measured latency in ms a batch, and the upper end of its one-sided 95 % interval."""

    latency_ms: float
    upper_ms: float


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
    rounds = rounds_of({"network": file}, config, seed, 0, progress, "measure candidate")
    return measurement([samples["network"] for _, samples in rounds], config.threads)


def measurement(rounds: Sequence[Sample], threads: int) -> Measurement:
    """The headline figure of the rounds, and how far up it might have come out.

    The rounds are drawn anew with replacement, and the same statistic is taken of each draw (the bootstrap of Efron,
    1979): a machine whose rounds differ leaves a wide interval, one whose rounds agree leaves none.
    """
    latency_ms = summarise(rounds, threads).latency_ms
    rng = Random(0)
    drawn = sorted(summarise(rng.choices(rounds, k=len(rounds)), threads).latency_ms for _ in range(RESAMPLES))
    return Measurement(latency_ms, max(latency_ms, drawn[ceil(LEVEL * RESAMPLES) - 1]))
