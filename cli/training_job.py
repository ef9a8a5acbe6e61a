"""The job of a command that trains or searches: its run folder, progress, trackers and group of processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from cli import console

if TYPE_CHECKING:
    from toolchain.config import Config
    from toolchain.costs.core import TableCost
    from toolchain.spaces.core import SearchSpace
    from toolchain.training.data import Data
    from toolchain.training.job import Job


@contextmanager
def open_job(
    config: "Config",
    space: "SearchSpace",
    data: "Data",
    stage: Literal["train", "search", "retrain"],
    *,
    make: bool,
    latency: "TableCost | None" = None,
) -> Iterator["Job"]:
    """The job in its run folder, which no other command uses until the end of the block.

    Args:
        make: whether the run folder is made where it is missing.
        latency: of the blocks, where the training needs it.

    Raises:
        UserError: the run folder is missing or in use, or the other processes cannot be reached.
    """
    from toolchain.parallel.collectives import joined
    from toolchain.runs import open_run
    from toolchain.tracking.tracked import tracked
    from toolchain.training.job import Job
    from toolchain.training.precision import compute_device

    device = (config.retrain if stage == "retrain" else config.train).device
    with (
        joined(compute_device(device)),
        open_run(config, make=make, stage=stage) as folder,
        console.progress() as bars,
        tracked(config, folder, bars, stage) as trackers,
    ):
        yield Job(config, space, data, folder, bars, latency, trackers)
