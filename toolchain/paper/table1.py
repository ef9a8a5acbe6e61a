"""Table 1 of the paper: what each method needs, and whether its result keeps a limit.

Soft methods have the cost in their loss, with three weights; the share of runs (seeds) whose result is within the limit
is measured. Methods that search after the training keep hard limits.
"""

from collections.abc import Iterator

from toolchain.costs.counters import counted_cost
from toolchain.paper.experiment import Changes, Experiment, search, train
from toolchain.paper.method_steps import measure_steps
from toolchain.paper.presets import Preset
from toolchain.paper.result import MACS, Column, PaperResult
from toolchain.paper.rows import Rows
from toolchain.search.strategies import best_first
from toolchain.spaces.core import Architecture
from toolchain.training.job import Job

STEPS = 4  # of each method; memory hardly differs between steps
FACTORS = (0.25, 1.0, 4.0)  # of the configured weight of the cost
SOFT = {"gumbel": "cost_power", "two-path": "cost_weight", "policy": "cost_weight"}  # what weights the cost
HEADINGS = ("paper's methods", "memory in the paper", "hyper-parameters in the paper", "limit in the paper")
PRINTED = {
    "policy": ("ENAS, BSN", "single path", "fine-tuning; weight of cost penalty", "none; soft, not guaranteed"),
    "darts": ("DARTS", "whole supernet", "path dropout rate, weight of auxiliary loss", "none"),
    "two-path": ("Proxyless", "two paths", "scaling factor of latency loss", "soft, not guaranteed"),
    "gumbel": ("FBNet, SNAS", "whole supernet", "temperature, coefficient in loss", "soft, not guaranteed"),
    "path-dropout": ("One-Shot", "whole supernet", "drop rate", "not investigated"),
    "spos": ("ours", "single path", "none", "guaranteed in searching"),
}
COLUMNS = (
    Column(key="kept", heading="limit kept", unit="runs"),
    MACS,
    Column(key="memory_ratio", heading="memory of a step / spos", unit="ratio"),
)
SEARCH = {"search.random_search": True}  # the result of path-dropout
PRESETS = {
    "quick": Preset(
        {
            "space": "shufflenet_v2_quick:stage_widths=32-64,stage_repeats=3-3",
            "search.macs": "560k",
            "search.population": 10,
            "search.generations": 3,
            "train.changes": {"epochs": 0.4},
        },
        seeds=(0, 1, 2),
        required=SEARCH,
    ),
    "imagenet": Preset({"search.macs": "330M"}, required=SEARCH),
}


def measure(experiment: Experiment) -> Iterator[PaperResult]:
    """Count the memory of steps, then train each method; the table after each seed."""
    limit = experiment.macs_limit
    steps = measure_steps(experiment.job("steps", experiment.seeds[0]), STEPS)
    memory = {row.method: row.memory_ratio for row in steps.rows}
    rows, printed = Rows(), {}
    for number, seed in enumerate(experiment.seeds, 1):
        for name, strategy, changes in _variants(experiment):
            job = experiment.job(name.replace(" ", "_"), seed, {"train.strategy": strategy, **changes})
            macs = counted_cost("macs", job.space).cost(_architecture(job))
            rows.add(name, macs=macs, kept=float(macs <= limit), memory_ratio=memory[strategy])
            printed[name] = dict(zip(HEADINGS, PRINTED[strategy], strict=True))
        yield experiment.result(
            title="Table 1, methods and whether their results keep a limit",
            seeds=experiment.seeds[:number],
            columns=COLUMNS,
            drawn="kept",
            printed=HEADINGS,
            rows=rows.rows(printed),
            notes=(
                f"limit: {limit:,} MACs. cost xN: N times the configured weight of the cost in the loss",
                "spos and path-dropout are searched after the training, within hard limits; darts has no cost in it",
            ),
        )


def _variants(experiment: Experiment) -> list[tuple[str, str, Changes]]:
    """The rows: name, strategy, and changes of the configuration."""
    variants: list[tuple[str, str, Changes]] = []
    for strategy in PRINTED:
        key = SOFT.get(strategy)
        if key is None:
            variants.append((strategy, strategy, {}))
            continue
        weight = getattr(experiment.config.train.architecture, key)
        for factor in FACTORS:
            change = {f"train.architecture.{key}": factor * weight}
            variants.append((f"{strategy} cost x{factor:g}", strategy, change))
    return variants


def _architecture(job: Job) -> Architecture:
    """What the method ends with: the most probable architecture, or the winner of its search."""
    trained = train(job)
    if trained.learned:
        return job.space.architecture(trained.learned.architecture)
    searched = search(job)
    (budget,) = searched.results
    if job.config.train.strategy == "path-dropout":
        return best_first(budget.random_search)[0].architecture
    return job.space.architecture(searched.best.architecture)
