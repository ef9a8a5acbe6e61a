"""Random selection: networks drawn uniformly within the limits, as the paper compares its search with (Table 3).

It shows what the limits and the space alone are worth. Where finalists are trained, these networks are trained alone as
well, once each with the seed of the first round.
"""

from dataclasses import dataclass

from toolchain.costs.core import TableCost
from toolchain.counting.feasible import FeasibleSet
from toolchain.search.budget import Costs
from toolchain.search.finalists.trainings import Train
from toolchain.search.generations import Scoring, run_strategy
from toolchain.search.random_select_report import RandomNetwork, RandomSelect
from toolchain.search.strategies import RandomSearch, Scored
from toolchain.training.mean_interval import mean_interval

NAME = "random select"


@dataclass(frozen=True)
class RandomSelection:
    """How networks are drawn and reported, the same for each budget.

    Args:
        count: networks of a budget.
        train: None if networks are not trained alone.
        epochs: of each training.
    """

    count: int
    costs: Costs
    scoring: Scoring
    train: Train | None = None
    epochs: float | None = None

    def select(self, feasible: FeasibleSet) -> RandomSelect:
        """Draw networks of `feasible`, all different, and score them; fewer if it has fewer.

        They are the first of the population that evolution under the same seed and limits begins with.
        """
        strategy = RandomSearch(feasible, self.count, NAME)
        scored = run_strategy(strategy, range(1), self.scoring)
        latency = self.costs.latency.predicted if self.costs.latency else None
        networks = tuple(
            self._network(candidate, latency, f"random network {number} of {len(scored)}")
            for number, candidate in enumerate(scored, 1)
        )
        trained = [network.trained_accuracy for network in networks if network.trained_accuracy is not None]
        return RandomSelect(
            networks=networks,
            inherited=mean_interval([network.inherited_accuracy for network in networks]),
            trained=mean_interval(trained) if trained else None,
            epochs=self.epochs,
        )

    def _network(self, scored: Scored, latency: TableCost | None, title: str) -> RandomNetwork:
        arch = scored.architecture
        return RandomNetwork(
            architecture=arch.choices,
            inherited_accuracy=scored.accuracy,
            trained_accuracy=float(self.train(arch, 0, title).correct.mean()) if self.train else None,
            macs=int(self.costs.named("macs").cost(arch)),
            latency_ms=latency.cost(arch) if latency else None,
        )
