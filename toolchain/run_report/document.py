"""The document of a report: every figure that the page, the model card and `--json` show.

Latencies are in ms a batch, accuracies from 0 to 1.
"""

from typing import Literal

from pydantic import Field

from toolchain.check.kept_verdict import KeptVerdict
from toolchain.files import Count, Document, ImageCount, Milliseconds, Share
from toolchain.report.blocks import NetworkParts
from toolchain.runs import Environment
from toolchain.search.finalists.report import FinalistOutcome
from toolchain.search.winner import CalibrationSummary
from toolchain.shrink.result import ShrinkResult

Verdict = Literal["met", "missed", "unknown"]


class Accuracy(Document):
    """Top-1 accuracy with its 95 % interval (Wilson); the interval is None if the number of images is unknown."""

    share: Share
    images: ImageCount | None
    low: Share | None
    high: Share | None


class Latency(Document):
    """The latency of a batch. `upper_ms` is the end of a one-sided 95 % interval, None if unknown."""

    ms: Milliseconds
    upper_ms: Milliseconds | None = None
    unstable: str = ""


class LimitResult(Document):
    """One limit of a budget.

    Args:
        value: what the winner has; for a latency the measured one, or the predicted one if nothing was measured.
        bound: what is compared with the limit: the upper end of the latency's interval, or the value itself.
        met: None if the value is unknown.
    """

    cost: str
    most: float
    value: float | None
    bound: float | None
    met: bool | None


class ComparedNetwork(Document):
    """The winner, or a network that it is compared with.

    Args:
        name: what it is: `winner`, `random search`, `simple network`, `finalist`.
        inherited: with weights of the supernet, on the hold-out.
        alone: after a short training alone, on the hold-out.
        outcome: of the finalists' comparison.
    """

    name: str
    architecture: tuple[str, ...]
    inherited: Accuracy
    alone: Accuracy | None = None
    latency_ms: Milliseconds | None = None
    macs: Count | None = None
    outcome: FinalistOutcome | None = None


class Exported(Document):
    """One exported file; `measured_ms` is None if the device computes another precision."""

    file: str
    precision: str
    bytes: Count
    measured_ms: Milliseconds | None
    holdout: Accuracy | None


class BudgetReport(Document):
    """The winner of one budget.

    Args:
        verdict: whether all limits are met; `unknown` if a value is unknown or only predicted.
        inherited: with weights of the supernet, on the hold-out.
        test: of the retrained network, on the test images; None if it was not retrained.
        predicted: by the latency model, with its upper bound.
        measured: end to end, when the winner was accepted.
        estimate: latencies are computed from a device's peak rates.
        statement: how sure the choice between finalists is.
        evaluations: scored candidates within the budget.
        check: the last verdict on the exported network; None if it was not checked, or exported again since.
        missing: the commands that complete it.
    """

    name: str
    architecture: tuple[str, ...]
    limits: tuple[LimitResult, ...]
    verdict: Verdict
    inherited: Accuracy
    retrained_holdout: Accuracy | None
    test: Accuracy | None
    predicted: Latency | None
    measured: Latency | None
    estimate: bool
    macs: Count
    params: Count
    bitops: Count
    weight_bits: Count
    statement: str
    evaluations: Count
    compared: tuple[ComparedNetwork, ...]
    exported: tuple[Exported, ...]
    check: KeptVerdict | None
    calibration: CalibrationSummary | None
    network: NetworkParts
    missing: tuple[str, ...]


class CandidatePoint(Document):
    """A scored candidate; `latency_ms` is predicted, None if its space was not profiled on the target."""

    architecture: str
    accuracy: Share
    strategy: str
    generation: Count
    macs: Count
    latency_ms: Milliseconds | None


class Generation(Document):
    """The candidates of one generation: accuracies of the best so far, and of their 25 %, 50 % and 75 % quantiles."""

    strategy: str
    generation: Count
    candidates: Count
    best_so_far: Share
    low: Share
    median: Share
    high: Share


class PredictedPoint(Document):
    """A whole network with its predicted and its measured latency; `role` says what it was measured for."""

    architecture: str
    predicted_ms: Milliseconds
    measured_ms: Milliseconds
    role: Literal["calibration", "search"]


class SearchReport(Document):
    """All candidates of a run.

    Args:
        cost: what the front is drawn over: `latency_ms` or `macs`.
        front: numbers of the candidates that no other beats in accuracy at the same or lower cost.
        score: what candidates were ranked by.
    """

    cost: Literal["latency_ms", "macs"]
    candidates: tuple[CandidatePoint, ...]
    front: tuple[Count, ...]
    generations: tuple[Generation, ...]
    predictions: tuple[PredictedPoint, ...]
    holdout_images: ImageCount | None


class Curve(Document):
    """One curve of a training, thinned out for drawing: (step, value)."""

    training: str
    name: str
    points: tuple[tuple[int, float], ...]


class FileDigest(Document):
    """A file of the run."""

    path: str
    bytes: Count
    sha256: str


class Provenance(Document):
    """What the figures come from.

    Args:
        target: the fields of the target of the latencies; empty if nothing was measured.
        profile_runs: uids of the runs of the latency table that predictions are from.
        settings: the content of config.toml.
        commands: what makes this run again, in the order in which they are typed.
    """

    environment: Environment
    target_id: str | None
    target: dict[str, str | int]
    profile_runs: tuple[str, ...]
    space: str
    space_digest: str
    blocks: Count
    architectures: str
    data: str | None
    data_digest: str | None
    files: tuple[FileDigest, ...]
    settings: str
    commands: tuple[str, ...]


class SideAccuracies(Document):
    """The accuracies of the original or the shrunk network."""

    test: Accuracy
    holdout: Accuracy


class ShrinkReport(Document):
    """A run of `nastool shrink`: its result, with the intervals of the accuracies."""

    result: ShrinkResult
    original: SideAccuracies
    shrunk: SideAccuracies


class RunReport(Document):
    """The content of a report.

    Args:
        missing: the stages that the run has not reached, with the command of each.
        notes: what could not be shown, and why.
    """

    schema_version: Literal[1] = 1
    run: str
    device: str | None
    batch: Count | None
    data: str | None
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    budgets: tuple[BudgetReport, ...]
    search: SearchReport | None
    shrink: ShrinkReport | None
    curves: tuple[Curve, ...] = Field(default=())
    provenance: Provenance
