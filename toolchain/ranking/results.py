"""The answer of `nastool rank`, and the journal of the networks that it trains."""

from collections.abc import Sequence
from statistics import pstdev
from typing import Annotated, Literal

from pydantic import Field

from toolchain.files import Count, Document, Share
from toolchain.ranking.agreement import Agreement
from toolchain.ranking.correlations import BandAgreement
from toolchain.search.journal import JournalLine

Seconds = Annotated[float, Field(ge=0)]


class TrainedLine(JournalLine):
    """The test accuracy of one network after one of its trainings."""

    repeat: Count
    accuracy: Share
    seconds: Seconds


class RankedNetwork(Document):
    """The scores of one network: its costs, its inherited scores, and its test accuracies after each training.

    Args:
        loss: mean cross-entropy on the hold-out with inherited weights and recalibrated statistics, in nats.
        batch_statistics: inherited accuracy without recalibration, with statistics that all paths share.
    """

    architecture: tuple[str, ...]
    macs: Count
    params: Count
    bitops: Count | None = None
    inherited: Share
    loss: Annotated[float, Field(ge=0)]
    batch_statistics: Share
    standalone: tuple[Share, ...]


class Spread(Document):
    """How far the accuracies of the networks differ."""

    least: Share
    greatest: Share
    standard_deviation: float


class Durations(Document):
    """Seconds for all networks together."""

    inherited: Seconds
    batch_statistics: Seconds
    standalone: Seconds


class RankResult(Document):
    """The rank correlations between scores, and the scores.

    Args:
        cost: the cost that networks are drawn by: macs or bitops.
        tau: by the names of both scores; that of the loss is of its negative.
        within: the same over pairs of networks of similar cost: in the same `third` of the networks by cost, and with
            costs that differ by at most `10_percent`.
        spread: of the inherited and of the stand-alone accuracies.
    """

    schema_version: Literal[1] = 1
    space: str
    data: str
    cost: str
    tau: dict[str, Agreement]
    within: dict[str, BandAgreement]
    spread: dict[str, Spread]
    seconds: Durations
    networks: tuple[RankedNetwork, ...]

    def as_json(self) -> dict[str, object]:
        """For --json; a network of a space without bit widths has no BitOps."""
        networks = [network.model_dump(mode="json", exclude_none=True) for network in self.networks]
        return self.model_dump(mode="json") | {"networks": networks}


def spread_of(accuracies: Sequence[float]) -> Spread:
    """The spread of `accuracies`."""
    return Spread(least=min(accuracies), greatest=max(accuracies), standard_deviation=pstdev(accuracies))
