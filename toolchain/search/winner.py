"""`best.json`: the winner of a search, and how later commands select it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, field_validator

from toolchain.costs.calibration import Calibration
from toolchain.errors import BadArchitecture, BadCheckpoint, BadDocument, MissingStage
from toolchain.files import AnchorMs, Count, Document, ImageCount, Milliseconds, Share, Text, read_document
from toolchain.runs import Run
from toolchain.search.finalists.report import FinalistsReport
from toolchain.search.random_select_report import RandomSelect
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.spaces.fixed import named_architecture

Loss = Annotated[float, Field(ge=0)]

REMEDY = "Remove it and run nastool search"


class Latencies(Document):
    """The predicted and the measured latency of a candidate in ms a batch; None where one is unknown.

    `latency_upper_ms` is the upper bound of the prediction, which was within the limit. `measured_anchor_ms` is the
    time of the anchor network in the same rounds; nastool 0.1.0 called it `measured_reference_ms`, 0 if unknown.
    """

    latency_ms: Milliseconds | None = None
    latency_margin: float | None = Field(None, ge=0)
    latency_upper_ms: Milliseconds | None = None
    measured_latency_ms: Milliseconds | None = None
    measured_upper_ms: Milliseconds | None = None
    measured_unstable: str = ""
    measured_anchor_ms: AnchorMs = Field(
        None, validation_alias=AliasChoices("measured_anchor_ms", "measured_reference_ms")
    )


class PassedOver(Latencies):
    """A candidate with a better score than the winner that measured over the limit."""

    architecture: tuple[str, ...]
    holdout_accuracy: Share
    holdout_loss: Loss | None = None


class SharedLatencies(Latencies):
    """The winner on another device of a shared budget: its latencies there, its limit and the id of the target."""

    limit_ms: Milliseconds
    target: str


class CalibrationSummary(Document):
    """The calibration of the latency model when the winner was selected."""

    scale: float
    offset_ms: float
    margin: float
    level: float
    networks: Count
    mape: float | None = None
    bias: float | None = None
    within_5: float | None = None
    within_10: float | None = None
    tau: float | None = None
    skill: float | None = None
    per_gmac_ms: float = 0.0
    in_words: str = ""


def summarize_calibration(calibration: Calibration) -> CalibrationSummary:
    """The fields of `calibration` and its text."""
    return CalibrationSummary(**vars(calibration), in_words=str(calibration))


class Winner(Latencies):
    """The content of best.json.

    Args:
        strategy: the search strategy that proposed the winner; None in files of nastool 0.1.0.
        holdout_loss: mean cross-entropy of the search's hold-out with inherited weights; None if candidates were
            ranked by accuracy.
        estimate: latencies are computed from a device's peak rates.
        not_measured: why no network was measured; empty if the winner was.
        limits: the maximum of each limited cost, in the cost's unit.
        target: id of the target of all latencies.
        profile_runs: uids of the runs of the latency table that the prediction is from; empty in files of nastool
            0.1.0, and if nothing was predicted.
        evaluations: scored candidates within the budget.
        holdout_images: that the accuracy was measured on; None in files of nastool 0.1.0.
        finalists: the trainings that decided; None where the inherited accuracy did.
        random_select: networks drawn within the limits, for comparison; None if not asked for.
        device: as it was given, of a search for several devices; else None.
        elsewhere: the other devices of a shared budget.
    """

    schema_version: Literal[1] = 1
    architecture: tuple[str, ...]
    space: str
    space_digest: str
    strategy: str | None = None
    holdout_accuracy: Share
    holdout_loss: Loss | None = None
    macs: Count | None = None
    params: Count | None = None
    bitops: Count | None = None
    weight_bits: Count | None = None
    calibration: CalibrationSummary | None = None
    estimate: bool = False
    not_measured: str = ""
    limits: dict[str, float]
    target: str | None = Field(None, validation_alias=AliasChoices("target", "context"))
    profile_runs: tuple[str, ...] = ()
    conventions: dict[str, str] = Field(default_factory=dict)
    passed_over: tuple[PassedOver, ...] = ()
    evaluations: Count = 0
    data: Text | None = None
    data_digest: str | None = None
    holdout_images: ImageCount | None = None
    finalists: FinalistsReport | None = None
    random_select: RandomSelect | None = None
    device: str | None = None
    elsewhere: dict[str, SharedLatencies] = Field(default_factory=dict)

    @field_validator("limits")
    @classmethod
    def _positive(cls, limits: dict[str, float]) -> dict[str, float]:
        if wrong := [name for name, most in limits.items() if most <= 0]:
            raise ValueError(f"the limit of {wrong[0]} must be positive")
        return limits

    def cost(self, name: str) -> float | None:
        """The cost `name`, as `macs` or `latency_ms`; None if it is unknown."""
        value: float | None = getattr(self, name)
        return value


@dataclass(frozen=True)
class SelectedArchitecture:
    """An architecture for retrain and export, with the limits of its search; one given by --arch has none.

    Args:
        target: id of the target of the latency limit.
        anchor_ms: latency of the anchor network when the limit was met; None if unknown.
        device: that the limit is for, of a search for several devices; else None.
        elsewhere: the other devices of a shared budget.
    """

    architecture: Architecture
    limits: Mapping[str, float]
    data: str | None = None
    data_digest: str | None = None
    target: str | None = None
    anchor_ms: float | None = None
    device: str | None = None
    elsewhere: tuple[SharedLatencies, ...] = ()

    def on_target(self, target: str) -> "SelectedArchitecture":
        """The same with the limit of this target, if it is that of another device of a shared budget."""
        for there in self.elsewhere:
            if there.target == target:
                limits = {**self.limits, "latency_ms": there.limit_ms}
                return replace(self, limits=limits, target=target, anchor_ms=there.measured_anchor_ms)
        return self

    def require_data(self, name: str, digest: str) -> None:
        """Check that the data set is the one that the architecture was scored on.

        Raises:
            BadCheckpoint: it is another one.
        """
        if self.data_digest is not None and self.data_digest != digest:
            raise BadCheckpoint(
                f"this winner was searched for on {self.data}, and {name} is another data set, or has other images "
                f"now. Give --data {self.data}, or search again; --arch trains any architecture on any data"
            )


def read_winner(path: Path, space: SearchSpace) -> Winner:
    """Read a best.json of `space`.

    Raises:
        BadDocument: it is damaged; the field is named.
        BadCheckpoint: it is from another space.
    """
    best = read_document(path, Winner, REMEDY)
    if best.space_digest != space.digest:
        same_name = best.space == space.name
        remedy = "which has changed since. Search again" if same_name else f"not of {space.name}. Give its --space"
        raise BadCheckpoint(f"{path} is a winner of the space {best.space}, {remedy}")
    try:
        space.architecture(best.architecture)
    except BadArchitecture as problem:
        raise BadDocument(f"{path} is damaged: architecture: {problem}. {REMEDY}") from None
    return best


def select_architecture(named: str | None, budget: str | None, space: SearchSpace, run: Run) -> SelectedArchitecture:
    """The architecture `named` by the user; otherwise the winner of `budget`, or of the last budget.

    Raises:
        BadArchitecture: `named` is not an architecture of the space.
        BadCheckpoint: the winner is from another space.
        BadDocument: best.json is damaged.
        MissingStage: no architecture is named and no search has finished.
    """
    if named is not None:
        return SelectedArchitecture(named_architecture(named, space, "--arch"), {})
    path = run.best if budget is None else run.budget(budget) / "best.json"
    if not path.exists() and run.best.exists():
        raise MissingStage(f"no search had the budget {budget!r}. Write --budget {' or '.join(run.budgets)}")
    run.require(path, "search")
    return selected(read_winner(path, space), space)


def selected(winner: Winner, space: SearchSpace) -> SelectedArchitecture:
    """The architecture of `winner` with the limits of its search."""
    return SelectedArchitecture(
        architecture=space.architecture(winner.architecture),
        limits=winner.limits,
        data=winner.data,
        data_digest=winner.data_digest,
        target=winner.target,
        anchor_ms=winner.measured_anchor_ms,
        device=winner.device,
        elsewhere=tuple(winner.elsewhere.values()),
    )
