"""Figure 2 of the paper: evolution on supernets that were trained with uniform and uniform constraint sampling."""

from collections.abc import Iterator

from toolchain.paper.experiment import Experiment, search, train
from toolchain.paper.presets import Preset
from toolchain.paper.result import PaperResult
from toolchain.paper.searches import IMAGENET, QUICK, Searches

SAMPLERS = {"uniform sampling": "uniform", "uniform constraint sampling": "constraint"}
UNIFORM, CONSTRAINT = SAMPLERS
TITLE = "Figure 2, sampling of paths"
NOTE = 'the paper: uniform constraint sampling "is slightly better"; it prints no numbers'
PRESETS = {"quick": Preset(QUICK, seeds=(0, 1, 2)), "imagenet": Preset(IMAGENET)}


def measure(experiment: Experiment) -> Iterator[PaperResult]:
    """Train both supernets and search on each; the figure after each seed."""
    searches = Searches(list(SAMPLERS), better=CONSTRAINT, worse=UNIFORM)
    for number, seed in enumerate(experiment.seeds, 1):
        for name, sampler in SAMPLERS.items():
            job = experiment.job(sampler, seed, {"train.sampler": sampler})
            train(job)
            (budget,) = search(job).results
            searches.add(name, budget.evolution)
        yield searches.result(experiment, TITLE, experiment.seeds[:number], NOTE)
