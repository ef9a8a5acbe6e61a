"""Measurement of a whole network: exported, compiled and timed, with an upper bound from its rounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.graph.model import Model
from latency_db.runs import NewRun
from latency_db.store import open_store
from latency_db.table import Sample, round_ms, summarize
from toolchain.costs.latency import network_key
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.intervals import latency_interval, latency_statistic
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import on_target, time_until_stable
from toolchain.measuring.space_precision import file_precision, form_of
from toolchain.measuring.target import ReadyTarget
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.progress import Progress
from toolchain.spaces.core import Architecture, SearchSpace

LEVEL = 0.95
NETWORK = "network"


@dataclass(frozen=True)
class Measurement:
    """A measured latency in ms per batch.

    Args:
        upper_ms: upper bound of the one-sided 95 % confidence interval.
        unstable: why the latency is not reproducible; empty if it is.
        anchor_ms: latency of the anchor network in the same rounds, or None if unknown.
    """

    latency_ms: float
    upper_ms: float
    unstable: str = ""
    anchor_ms: float | None = None


def measure_network(
    space: SearchSpace,
    arch: Architecture,
    target: ReadyTarget,
    plan: MeasurementPlan,
    db: str,
    progress: Progress,
) -> Measurement:
    """Time the network of `arch` as the records of the latency table are timed, and store its rounds there.

    Raises:
        BackendUnavailable: the runtime cannot run it here.
        LatencyDbError: the table cannot be written.
    """
    with TemporaryDirectory(prefix="nastool-") as folder:
        model = Model(Path(folder) / "network.onnx")
        form = form_of(file_precision(space, arch, target.target.precision), target.target.backend)
        export_for_timing(Network(space, arch, STANDALONE), space.input_shape, model.path, form)
        timed = time_until_stable(on_target({NETWORK: model}, target), plan, db, progress, "measure candidate")
        rounds = [samples[NETWORK] for _, samples in timed if NETWORK in samples]
        graph = model.graph_hash
    with open_store(db) as store:
        key = network_key(space, arch)
        new = NewRun(
            space=space.name,
            space_digest=space.digest,
            code_version=version("nastool"),
            rounds=len(rounds),
            kind="verify",
            conditions=target.conditions(),
        )
        run_id = store.begin_run(target.target, {key: graph}, new)
        for number, sample in enumerate(rounds):
            store.add_round(run_id, number, {key: sample})
        store.finish_run(run_id)
    return measurement(rounds, target.spec.threads, target.target.device_kind)


def measurement(rounds: Sequence[Sample], threads: int, kind: str = "cpu") -> Measurement:
    """The latency over all rounds with its upper bound: wide if the rounds differ, narrow if they agree.

    With few rounds the upper bound is the slowest round.
    """
    quiet = [sample for sample in rounds if not sample.noise_reason] or rounds
    interval = latency_interval(quiet, latency_statistic(threads, kind), 2 * (1 - LEVEL))
    upper_ms = min(interval.high, max(round_ms(sample, threads, kind) for sample in quiet))
    summary = summarize(rounds, threads, kind)
    return Measurement(interval.middle, upper_ms, summary.unstable, summary.anchor_ms)
