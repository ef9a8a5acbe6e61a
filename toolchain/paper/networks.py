"""Networks of a row: each trained alone and tested."""

from collections.abc import Sequence
from statistics import fmean

from toolchain.costs.counters import counted_cost, default_cost_name
from toolchain.paper.experiment import retrain
from toolchain.paper.rows import Rows
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.job import Job


def add_networks(rows: Rows, name: str, job: Job, networks: Sequence[Architecture], note: str = "") -> None:
    """Add the mean test accuracy and the mean cost (MACs, or BitOps of a quantized space) of the networks of a seed."""
    cost = counted_cost(default_cost_name(job.space), job.space)
    rows.add(
        name,
        note,
        test_accuracy=fmean(retrain(job, arch).test_accuracy for arch in networks),
        **{cost.name: fmean(cost.cost(arch) for arch in networks)},
    )


def only_architecture(space: SearchSpace) -> Architecture:
    """The architecture of a space whose blocks have one choice each."""
    return Architecture(space.name, tuple(block.choices[0].key for block in space.blocks))
