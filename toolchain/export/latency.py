"""The latency of exported files, and the check that the first one is within the budget of its search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from exporters.errors import BackendUnavailable, OtherPrecision
from latency_db.errors import TargetMismatch
from latency_db.store import open_store
from latency_db.table import Summary
from latency_db.target import Target
from latency_db.where import exists
from toolchain.errors import CheckFailed
from toolchain.export.precisions import ExportedFile
from toolchain.measuring.fresh_process import FileRequest, summarize_in_fresh_process
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import summarize_files
from toolchain.measuring.space_precision import INT8_FP16, TENSORRT_BACKENDS
from toolchain.measuring.target import ReadyTarget
from toolchain.progress import Progress
from toolchain.search.winner import SelectedArchitecture
from toolchain.units import format_ms

CONFIRMATIONS = 2  # a file is too slow only if it is measured too slow this many times more


@dataclass(frozen=True)
class Timer:
    """What files are measured with."""

    target: ReadyTarget
    plan: MeasurementPlan
    db: str
    progress: Progress

    def measure(self, exported: ExportedFile, attempt: int = 0) -> Summary:
        """The latency of `exported` on the target, in its own precision; again in a fresh process.

        Raises:
            BackendUnavailable: the device computes another precision.
            Inconclusive: the fresh process ended without a result.
        """
        target = self.target.for_precision(exported.model.precision)
        if attempt:
            return self.measure_again(exported.model.path, target, attempt)
        title = f"measure {exported.file.name}"
        return summarize_files({"model": exported.model}, target, self.plan, self.db, self.progress, title)["model"]

    def measure_again(self, path: Path, target: ReadyTarget, attempt: int) -> Summary:
        """The latency of a file on a target, measured in a fresh process with the seed of this attempt.

        Raises:
            Inconclusive: the fresh process ended without a result.
        """
        plan = replace(self.plan, seed=self.plan.seed + attempt)
        request = FileRequest(path, target.spec, plan, self.db)
        return summarize_in_fresh_process(request, self.progress, f"measure {path.name} again")


def require_search_target(chosen: SelectedArchitecture, target: Target, db: str) -> None:
    """Check that a latency limit was set for `target`: it proves nothing on another one.

    Raises:
        TargetMismatch: it was set for another target; the fields that differ are named if the table knows it.
    """
    if "latency_ms" not in chosen.limits or chosen.target in (None, target.id):
        return
    differences: tuple[str, ...] = ()
    if exists(db):
        with open_store(db) as store:
            searched = [known for known, _ in store.targets() if known.id == chosen.target]
        differences = target.differences(searched[0]) if searched else ()
    raise TargetMismatch(
        f"this winner's latency limit is for another target: {'; '.join(differences) or f'target {chosen.target}'}. "
        f"Export with the --device, --backend, --batch and --threads of the search (and its precision, under [profile] "
        f"in nastool.toml), or search again on this one"
    )


def measure_models(
    models: Sequence[ExportedFile], chosen: SelectedArchitecture, timer: Timer
) -> dict[str, float | None]:
    """The latency of each file by name, in ms a batch; None if the target does not compute it as it is.

    Raises:
        CheckFailed: the first one is over the latency limit of `chosen`.
    """
    first, *others = models
    latencies: dict[str, float | None] = {
        first.file.name: within_limit(partial(timer.measure, first), chosen, timer.progress)
    }
    for exported in others:
        latencies[exported.file.name] = _measured_if_computed(exported, timer)
    return latencies


def _measured_if_computed(exported: ExportedFile, timer: Timer) -> float | None:
    """The latency of a file in ms a batch; None, with the reason said, if the target does not compute it as it is."""
    if exported.precision == INT8_FP16 and timer.target.target.backend not in TENSORRT_BACKENDS:
        timer.progress.say(f"{exported.file.name} is not measured: its form is for TensorRT")
        return None
    try:
        return timer.measure(exported).latency_ms
    except BackendUnavailable as problem:
        reason = problem.reason if isinstance(problem, OtherPrecision) else problem
        timer.progress.say(f"{exported.file.name} is not measured: {reason}")
        return None


def within_limit(measure: Callable[[int], Summary], chosen: SelectedArchitecture, progress: Progress) -> float:
    """The latency of the file that the limit is for, in ms a batch.

    Noise only makes a file slower, and so may the memory layout of a process. So a file over the limit is measured
    again in fresh processes, and if the anchor network is slower as well, it is judged at the speed that the machine
    had when the limit was met.

    Args:
        measure: measures the file; its argument is the number of earlier measurements, and a repeated measurement is
            in a fresh process.

    Raises:
        CheckFailed: it is over the limit all the same.
    """
    limit_ms = chosen.limits.get("latency_ms")
    summary = measure(0)
    if limit_ms is None:
        return summary.latency_ms
    for attempt in range(1, CONFIRMATIONS + 1):
        if summary.latency_ms <= limit_ms:
            return summary.latency_ms
        summary = min(summary, measure(attempt), key=lambda measured: measured.latency_ms)
    if summary.latency_ms > limit_ms:
        _judge_at_earlier_speed(summary, limit_ms, chosen.anchor_ms, progress)
    return summary.latency_ms


def _judge_at_earlier_speed(summary: Summary, limit_ms: float, anchor_ms: float | None, progress: Progress) -> None:
    """Accept a latency over the limit if the machine is slower than when the limit was met.

    Raises:
        CheckFailed: the latency would be over the limit at that speed as well.
    """
    latency_ms, earlier_ms = summary.latency_ms, summary.at_speed_of(anchor_ms)
    over = f"{format_ms(latency_ms)} measured, {format_ms(limit_ms)} allowed"
    if min(latency_ms, earlier_ms) > limit_ms:
        raise CheckFailed(
            f"over the budget by {latency_ms / limit_ms - 1:.1%}: {over}. Nothing was exported. Search again "
            f"with a lower --latency, or on a quieter machine if this one is busy"
        )
    progress.say(
        f"the machine is busy: {over}, but the anchor network takes {latency_ms / earlier_ms - 1:.1%} longer "
        f"as well than when the budget was met. Run nastool check when it is quiet"
    )
