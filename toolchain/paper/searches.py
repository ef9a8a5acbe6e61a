"""What the figures of searches share: best accuracies by generation as curves and rows, and the quick preset."""

from collections.abc import Mapping, Sequence
from typing import Any

from toolchain.paper.curves import best_so_far
from toolchain.paper.experiment import Experiment
from toolchain.paper.result import Claim, Column, Curve, PaperResult
from toolchain.paper.rows import Rows
from toolchain.search.strategies import Scored

KEY = "holdout_accuracy"
COLUMNS = (Column(key=KEY, heading="best hold-out accuracy, inherited weights", unit="share"),)
QUICK: Mapping[str, Any] = {
    "space": "shufflenet_v2_quick",
    "search.macs": "1.2M",
    "search.generations": 10,
    "train.changes": {"epochs": 4, "batch": 128, "lr": 0.2},
}
IMAGENET: Mapping[str, Any] = {"search.macs": "330M"}


class Searches:
    """Collects two kinds of searches, of one seed after the other; the paper claims that `better` ends higher."""

    def __init__(self, names: Sequence[str], better: str, worse: str) -> None:
        self._rows = Rows(names)
        self._runs: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
        self._claim = Claim(better=better, worse=worse, key=KEY)

    def add(self, name: str, scored: Sequence[Scored], note: str = "") -> None:
        """The candidates of a search for the next seed."""
        curve = best_so_far(scored)
        self._runs[name].append(curve)
        self._rows.add(name, note, **{KEY: curve[-1]})

    def result(self, experiment: Experiment, title: str, seeds: tuple[int, ...], note: str) -> PaperResult:
        """The figure of the seeds so far."""
        return experiment.result(
            title=title,
            seeds=seeds,
            columns=COLUMNS,
            drawn=KEY,
            rows=self._rows.rows({}),
            curves=tuple(Curve(name=name, runs=tuple(runs)) for name, runs in self._runs.items()),
            claims=(self._claim,),
            notes=(note,),
        )
