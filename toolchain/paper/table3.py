"""Table 3 of the paper: block search against uniform networks, random selection and random search.

All networks are within the same limit on MACs, and are trained alone with the same recipe.
"""

from collections.abc import Iterator

from toolchain.paper.experiment import Experiment, search, train
from toolchain.paper.networks import add_networks
from toolchain.paper.presets import Preset
from toolchain.paper.rescaled import rescaled
from toolchain.paper.result import MACS, TEST_ACCURACY, Claim, PaperResult, printed_rows
from toolchain.paper.rows import Rows
from toolchain.paper.searches import IMAGENET, QUICK
from toolchain.search.strategies import best_first
from toolchain.training.job import Job

RANDOM, SPS_RANDOM, OURS = "random select", "SPS + random search", "ours (evolution)"
HEADINGS = ("top-1 in the paper", "MACs in the paper")
PRINTED = {
    "all choice_3": ("73.4", "324M"),
    "all choice_5": ("73.5", "321M"),
    "all choice_7": ("73.6", "327M"),
    "all choice_x": ("73.5", "326M"),
    RANDOM: ("~73.7", "~320M"),
    SPS_RANDOM: ("73.8", "323M"),
    OURS: ("74.3", "319M"),
}
COLUMNS = (TEST_ACCURACY, MACS)
SEARCH = {"search.random_search": True}
SELECT = {"search.random_select": 5}
PRESETS = {
    "quick": Preset(
        {**QUICK, "retrain.changes": {"epochs": 1.5, "batch": 128, "lr": 0.2}, **SELECT},
        seeds=(0, 1, 2),
        required=SEARCH,
    ),
    "imagenet": Preset({**IMAGENET, **SELECT}, required=SEARCH),
}


def measure(experiment: Experiment) -> Iterator[PaperResult]:
    """Train, search and retrain; the table after each seed.

    Raises:
        BadConfig: the space is not of shufflenet_v2, or its uniform networks cannot meet the limit.
        UserError: see `nastool train`, `search` and `retrain`.
    """
    limit = experiment.macs_limit
    ops = dict.fromkeys(choice.op for block in experiment.space.blocks for choice in block.choices)
    uniform = [rescaled(experiment.config.space, op, limit) for op in ops]
    rows = Rows([*(f"all {network.op}" for network in uniform), RANDOM, SPS_RANDOM, OURS])
    for number, seed in enumerate(experiment.seeds, 1):
        for network in uniform:
            job = experiment.job(f"all_{network.op}", seed, {"space": network.space})
            add_networks(rows, f"all {network.op}", job, [network.architecture], f"channels x{network.scale:.3f}")
        _search(experiment.job("supernet", seed), rows)
        yield experiment.result(
            title="Table 3, block search",
            seeds=experiment.seeds[:number],
            columns=COLUMNS,
            drawn="test_accuracy",
            printed=HEADINGS,
            rows=rows.rows(printed_rows(PRINTED, HEADINGS)),
            claims=tuple(Claim(better=OURS, worse=worse, key="test_accuracy") for worse in rows.names[:-1]),
            notes=(f"limit: {limit:,} MACs; the paper's is 330M",),
        )


def _search(job: Job, rows: Rows) -> None:
    """The rows of one supernet: random selection, random search, and evolution."""
    train(job)
    searched = search(job)
    select, (budget,) = searched.best.random_select, searched.results
    if select is not None:
        drawn = [job.space.architecture(network.architecture) for network in select.networks]
        add_networks(rows, RANDOM, job, drawn, f"mean of {len(drawn)}")
    add_networks(rows, SPS_RANDOM, job, [best_first(budget.random_search)[0].architecture])
    add_networks(rows, OURS, job, [job.space.architecture(searched.best.architecture)])
