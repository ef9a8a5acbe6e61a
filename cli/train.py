"""`nastool train`: train the supernet."""

from typing import TYPE_CHECKING

from cli import console, options
from cli.suggested_limit import suggested_limit

if TYPE_CHECKING:
    from toolchain.config import Config
    from toolchain.costs.core import TableCost
    from toolchain.spaces.core import SearchSpace
    from toolchain.training.data import Data
    from toolchain.training.supernet_training import Trained

FEW_STEPS = 100


@options.configured("train")
def train(invocation: options.Invocation, nproc: options.Nproc = None, json: options.Json = False) -> None:
    """Train the supernet on one path per step.

    Resumes from its last checkpoint when rerun.
    """
    from toolchain.nets.checked_space import configured_space
    from toolchain.parallel.collectives import joined
    from toolchain.runs import open_run
    from toolchain.training.data import configured_data
    from toolchain.training.job import Job
    from toolchain.training.precision import compute_device
    from toolchain.training.preflight import check_train
    from toolchain.training.sampled_range import sampled_range
    from toolchain.training.supernet_training import train_supernet
    from toolchain.training.torch_setup import prepare_torch

    config = invocation.config
    if options.in_processes(nproc):
        return
    prepare_torch(config)
    space = configured_space(config)
    with console.progress() as bars:
        data = configured_data(config, space, bars)
    check_train(config, space)
    latency = _latency(config, space)
    sampled_range(config.train, space, latency)  # refuses a range before a run folder is made
    with (
        joined(compute_device(config.train.device)),
        open_run(config, make=True) as folder,
        console.progress() as bars,
    ):
        trained = train_supernet(Job(config, space, data, folder, bars, latency))
    _warn(trained, data)
    facts = {
        "space": space.name,
        "data": data.name,
        "training_images": len(data.fit),
        "holdout_images": len(data.holdout),
        "steps": trained.steps,
        "strategy": config.train.strategy,
        "paths_per_step": trained.paths_per_step,
        "checkpoint": str(trained.checkpoint),
    }
    if json:
        console.answer_json(facts)
    else:
        console.answer_facts("supernet", facts)
        console.say(f"Next: {invocation.hint('search', *suggested_limit(config, space))}")


def _warn(trained: "Trained", data: "Data") -> None:
    """Warnings about amounts that make a poor supernet."""
    if len(data.holdout) > len(data.fit):
        console.say(
            f"warning: {len(data.holdout)} images are held out for the search, and only {len(data.fit)} are used "
            f"for training. Use a smaller --holdout-per-class"
        )
    if trained.steps < FEW_STEPS:
        console.say(f"warning: {trained.steps} steps hardly train a supernet. Use more --epochs or a smaller batch")


def _latency(config: "Config", space: "SearchSpace") -> "TableCost | None":
    """The predicted latency, if paths are sampled by it.

    Raises:
        MissingLatency: the space was not profiled on the target.
    """
    from toolchain.measuring.from_config import resolve_target
    from toolchain.search.budget import load_costs
    from toolchain.training.sampled_range import samples_latency

    if not samples_latency(config.train):
        return None
    target, _ = resolve_target(config.profile, space)
    latency = load_costs(space, target, config.profile.db, need_latency=True).latency
    return None if latency is None else latency.predicted
