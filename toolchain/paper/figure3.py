"""Figure 3 of the paper: evolution against random search with as many evaluations, on the same supernet."""

from collections.abc import Iterator

from toolchain.paper.experiment import Experiment, search, train
from toolchain.paper.presets import Preset
from toolchain.paper.result import PaperResult
from toolchain.paper.searches import IMAGENET, QUICK, Searches

EVOLUTION, RANDOM = "evolution", "random search"
TITLE = "Figure 3, evolution against random search"
NOTE = 'the paper: "evolutionary search is more effective"; it prints no numbers'
BOTH = {"search.random_search": True}
PRESETS = {
    "quick": Preset(QUICK, seeds=(0, 1, 2, 3, 4), required=BOTH),
    "imagenet": Preset(IMAGENET, required=BOTH),
}


def measure(experiment: Experiment) -> Iterator[PaperResult]:
    """Train and search; the figure after each seed."""
    searches = Searches([EVOLUTION, RANDOM], better=EVOLUTION, worse=RANDOM)
    for number, seed in enumerate(experiment.seeds, 1):
        job = experiment.job("supernet", seed)
        train(job)
        (budget,) = search(job).results
        for name, scored in ((EVOLUTION, budget.evolution), (RANDOM, budget.random_search)):
            searches.add(name, scored, f"{len(scored)} evaluations")
        yield searches.result(experiment, TITLE, experiment.seeds[:number], NOTE)
