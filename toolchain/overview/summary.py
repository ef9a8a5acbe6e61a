"""What the files of a run say: the stage that it has reached, its winners, age and size."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import Field

from exporters.manifest import MANIFEST
from toolchain.check.outcome import Outcome
from toolchain.config import Config, load_config
from toolchain.errors import BadConfig, BadDocument
from toolchain.files import Document, ImageCount, Milliseconds, Share, read_document
from toolchain.runs import VERDICT, Run
from toolchain.spaces.core import Architecture
from toolchain.training.accuracy_interval import wilson

REMEDY = "Remove it and run nastool search"


class BestOfBudget(Document):
    """The part of a best.json that a list shows."""

    architecture: tuple[str, ...]
    space: str
    holdout_accuracy: Share
    holdout_images: ImageCount | None = None
    measured_latency_ms: Milliseconds | None = None
    latency_ms: Milliseconds | None = None
    limits: dict[str, float] = Field(default_factory=dict)


class TestedNetwork(Document):
    """The part of a result.json that a list shows."""

    test_accuracy: Share
    test_images: ImageCount | None = None


class ExportedFile(Document):
    """The part of a manifest's list of files that says which file it is."""

    sha256: str


class ExportOfBudget(Document):
    """The part of a manifest that says which network it is."""

    architecture: tuple[str, ...]
    files: dict[str, ExportedFile] = Field(default_factory=dict)


class CheckOfExport(Document):
    """The part of a check.json that a list shows."""

    verdict: Outcome
    file: str
    sha256: str


@dataclass(frozen=True)
class BudgetSummary:
    """The winner of one budget.

    Args:
        latency_ms: measured, or predicted where it was not measured.
        holdout_accuracy: with inherited weights, from 0 to 1.
        test_accuracy: of the retrained network; None if it was not retrained.
        holdout_interval, test_interval: 95 % intervals of the accuracies (Wilson); None if the number of images is
            unknown, as in files of nastool 0.1.0.
        exported: whether its files were exported.
        check: the last verdict on the exported file; None if it was not checked.
    """

    name: str
    architecture: tuple[str, ...]
    holdout_accuracy: float
    holdout_interval: tuple[float, float] | None
    test_accuracy: float | None
    test_interval: tuple[float, float] | None
    latency_ms: float | None
    measured: bool
    exported: bool
    check: Outcome | None

    @property
    def stage(self) -> str:
        """The last command that finished for this budget."""
        if self.exported:
            return "exported"
        return "searched" if self.test_accuracy is None else "retrained"


@dataclass(frozen=True)
class RunSummary:
    """One run.

    Args:
        stage: the last command that finished: started, trained, searched, retrained or exported.
        age_s: time since a file of it was written, in seconds.
        problem: why files could not be read; empty if all could.
    """

    name: str
    stage: str
    space: str
    data: str | None
    budgets: tuple[BudgetSummary, ...]
    age_s: float
    size_bytes: int
    problem: str = ""

    def as_dict(self) -> dict[str, object]:
        """The content of --json."""
        return asdict(self)


def summaries(runs: Path) -> list[RunSummary]:
    """All runs in the folder `runs`, the latest first."""
    listed = [summarize(Run(config.parent)) for config in sorted(runs.glob("*/config.toml"))]
    return sorted(listed, key=lambda run: run.age_s)


def summarize(run: Run) -> RunSummary:
    """The summary of one run, also of one with damaged files."""
    problems: list[str] = []
    try:
        config = load_config(run.config, {})
    except BadConfig as problem:
        problems.append(str(problem))
        config = Config()
    budgets = tuple(_budgets(run, problems))
    files = [path.stat() for path in run.folder.rglob("*") if path.is_file()]
    return RunSummary(
        name=run.folder.name,
        stage=_stage(run, budgets),
        space=config.space,
        data=config.data,
        budgets=budgets,
        age_s=max(0.0, time.time() - max(status.st_mtime for status in files)),
        size_bytes=sum(status.st_size for status in files),
        problem="; ".join(problems),
    )


def _budgets(run: Run, problems: list[str]) -> Iterator[BudgetSummary]:
    for name in run.budgets:
        try:
            best = read_document(run.budget(name) / "best.json", BestOfBudget, REMEDY)
            result = run.retrain(Architecture(best.space, best.architecture)) / "result.json"
            tested = read_document(result, TestedNetwork, "Run nastool retrain") if result.exists() else None
            export = _export(run, name, best.architecture)
            check = None if export is None else _outcome(*export)
        except BadDocument as problem:
            problems.append(str(problem))
            continue
        measured = best.measured_latency_ms is not None
        yield BudgetSummary(
            name=name,
            architecture=best.architecture,
            holdout_accuracy=best.holdout_accuracy,
            holdout_interval=_interval(best.holdout_accuracy, best.holdout_images),
            test_accuracy=None if tested is None else tested.test_accuracy,
            test_interval=None if tested is None else _interval(tested.test_accuracy, tested.test_images),
            latency_ms=best.measured_latency_ms if measured else best.latency_ms,
            measured=measured,
            exported=export is not None,
            check=check,
        )


def _interval(accuracy: float, images: int | None) -> tuple[float, float] | None:
    return None if images is None else wilson(accuracy, images)


def _export(run: Run, budget: str, architecture: tuple[str, ...]) -> tuple[Path, ExportOfBudget] | None:
    """The folder with the export of a budget, and its manifest; None if it was not exported."""
    for manifest in (run.shipping(budget).manifest, run.manifest):
        try:
            content = read_document(manifest, ExportOfBudget, "") if manifest.exists() else None
        except BadDocument:
            continue
        if content is not None and content.architecture == architecture:
            return manifest.parent, content
    return None


def _outcome(folder: Path, manifest: ExportOfBudget) -> Outcome | None:
    """The last verdict on the files of an export; None if they were not checked."""
    path = folder / VERDICT
    if not path.exists():
        return None
    kept = read_document(path, CheckOfExport, "Remove it, or run nastool check again")
    record = manifest.files.get(kept.file)
    return kept.verdict if record is not None and record.sha256 == kept.sha256 else None


def _stage(run: Run, budgets: tuple[BudgetSummary, ...]) -> str:
    if any((run.folder / "export").rglob(MANIFEST)):
        return "exported"
    if any(budget.test_accuracy is not None for budget in budgets) or any(run.folder.glob("retrain/*/result.json")):
        return "retrained"
    if budgets:
        return "searched"
    return "trained" if run.supernet.exists() else "started"
