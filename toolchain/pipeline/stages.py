"""The stages of a whole job, each announced with its number, and resumed from the files of its run."""

from dataclasses import dataclass

from latency_db.table import LatencyTable
from toolchain.check.gate import Verdict, check
from toolchain.check.kept_verdict import keep_verdict
from toolchain.check.outcome import Outcome
from toolchain.check.requirements import CheckedFile
from toolchain.config import Config
from toolchain.errors import CheckFailed
from toolchain.export.manifest import Manifest
from toolchain.export.pipeline import export
from toolchain.measuring.from_config import measurement_plan
from toolchain.measuring.target import ReadyTarget
from toolchain.profiling.profiler import profile_if_missing
from toolchain.progress import Progress
from toolchain.search.plan import plan_search
from toolchain.search.search import SearchResult, search
from toolchain.search.winner import SelectedArchitecture
from toolchain.spaces.core import SearchSpace
from toolchain.training.job import Job
from toolchain.training.retrained import Retrained
from toolchain.training.retraining import retrain
from toolchain.training.supernet_training import train_supernet


class Stages:
    """Announces the stages of a command: `2 of 6: train the supernet`."""

    def __init__(self, progress: Progress, *titles: str) -> None:
        self._progress, self._titles = progress, titles
        self._number = 0

    def begin(self) -> None:
        """Announce the next stage."""
        self._number += 1
        self._progress.say(f"{self._number} of {len(self._titles)}: {self._titles[self._number - 1]}")


@dataclass(frozen=True)
class CheckedExport:
    """A network that was exported and checked.

    Args:
        verdict: of the check; a failed check raises an error instead.
    """

    retrained: Retrained
    manifest: Manifest
    verdict: Verdict


def profiled(
    config: Config, space: SearchSpace, target: ReadyTarget, progress: Progress, stages: Stages
) -> LatencyTable:
    """The latency table of `space` on `target`; what is missing is measured."""
    stages.begin()
    return profile_if_missing(space, target, measurement_plan(config), config.profile.db, progress).table


def train_and_search(job: Job, target: ReadyTarget, stages: Stages) -> SearchResult:
    """Train the supernet, and search it within the limits of the configuration.

    Raises:
        BudgetInfeasible: no architecture fits the limits; refused before the training.
        UserError: see `train_supernet` and `search`.
    """
    plan = plan_search(job.config, job.space, target)
    stages.begin()
    train_supernet(job)
    stages.begin()
    return search(job, plan)


def retrain_chosen(job: Job, chosen: SelectedArchitecture, stages: Stages) -> Retrained:
    """Train the chosen architecture alone."""
    stages.begin()
    return retrain(job, chosen.architecture)


def export_and_check(
    job: Job, chosen: SelectedArchitecture, retrained: Retrained, target: ReadyTarget, stages: Stages
) -> CheckedExport:
    """Export the retrained network, and check the exported file against its latency limit.

    Raises:
        CheckFailed: it does not fit the budget.
        ParityFailed: the file does not compute what the network does.
    """
    stages.begin()
    manifest = export(job, chosen, target)
    stages.begin()
    checked = CheckedFile(job.run.onnx, chosen.limits.get("latency_ms"), chosen.anchor_ms)
    verdict = check(job.config, checked, None, job.progress, target)
    if reason := keep_verdict(job.run, manifest, verdict):
        job.progress.say(f"the verdict is not kept in the run: {reason}")
    if verdict.outcome is Outcome.FAIL:
        raise CheckFailed("; ".join(verdict.problems))
    for problem in verdict.problems:
        job.progress.say(problem)
    return CheckedExport(retrained, manifest, verdict)
