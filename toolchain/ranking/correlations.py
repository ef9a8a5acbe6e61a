"""Which scores are compared in `nastool rank`, over all pairs of networks and over those of similar cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from toolchain.files import Count, Document
from toolchain.ranking.agreement import Agreement, agreement
from toolchain.ranking.bands import Pairs, close_in_cost, count_pairs, within_thirds

Scores = Sequence[float]


@dataclass(frozen=True)
class ScoreTable:
    """All scores of the networks of a ranking, in the same order.

    Args:
        accuracies: inherited accuracy, with recalibrated statistics.
        losses: inherited cross-entropy on the hold-out.
        batch_statistics: inherited accuracy without recalibration.
        costs: by name: macs, params, and bitops if the space has bit widths. Only their order matters, so the tau of a
            cost is also that of its logarithm.
        standalone: the test accuracies of each network after each of its trainings.
    """

    accuracies: Scores
    losses: Scores
    batch_statistics: Scores
    costs: Mapping[str, Scores]
    standalone: Sequence[Scores]

    @property
    def pairs_of_scores(self) -> dict[str, tuple[Scores, Scores]]:
        """The scores that are compared, by the names of both; higher is better in all of them."""
        standalone = [mean(accuracies) for accuracies in self.standalone]
        compared: dict[str, tuple[Scores, Scores]] = {
            "inherited_and_standalone": (self.accuracies, standalone),
            "loss_and_standalone": ([-loss for loss in self.losses], standalone),
            "batch_statistics_and_standalone": (self.batch_statistics, standalone),
            "inherited_and_batch_statistics": (self.accuracies, self.batch_statistics),
            **{f"{name}_and_standalone": (costs, standalone) for name, costs in self.costs.items()},
        }
        if len(self.standalone[0]) > 1:
            first, second = ([repeats[number] for repeats in self.standalone] for number in (0, 1))
            compared["first_and_second_repeat"] = (first, second)
        return compared


class BandAgreement(Document):
    """Rank correlations over some pairs of networks only.

    Args:
        pairs: the number of pairs.
        tau: by the names of both scores, as in `RankResult`.
    """

    pairs: Count
    tau: dict[str, Agreement]


def correlations(table: ScoreTable, seed: int, pairs: Pairs | None = None) -> dict[str, Agreement]:
    """Kendall's tau of each pair of scores, over all pairs of networks or over `pairs`."""
    return {name: agreement(*scores, seed, pairs) for name, scores in table.pairs_of_scores.items()}


def band_correlations(table: ScoreTable, cost: str, seed: int) -> dict[str, BandAgreement]:
    """The correlations between networks with a similar `cost`: within thirds of the networks, and within 10 %."""
    bands = {"third": within_thirds(table.costs[cost]), "10_percent": close_in_cost(table.costs[cost])}
    return {
        name: BandAgreement(pairs=count_pairs(pairs), tau=correlations(table, seed, pairs))
        for name, pairs in bands.items()
    }
