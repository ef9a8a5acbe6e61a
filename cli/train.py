"""`nastool train`: train the supernet."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation, with_fitted_space, with_recipe
from cli.processes import Nproc, in_processes
from cli.seeds import CommandAnswer, Seeds, print_answer, run_seeds
from cli.suggested_limit import suggested_limit
from cli.training_job import open_job

if TYPE_CHECKING:
    from toolchain.training.data import Data
    from toolchain.training.job import Job
    from toolchain.training.supernet_training import Trained

FEW_STEPS = 100
MoreEpochs = Annotated[
    float | None,
    typer.Option(
        "--more-epochs", min=0.01, help="Continue a finished supernet for so many epochs.", rich_help_panel="Training"
    ),
]


@configured("train")
def train(
    invocation: Invocation,
    more_epochs: MoreEpochs = None,
    seeds: Seeds = None,
    nproc: Nproc = None,
    json: options.Json = False,
) -> None:
    """Train the supernet on one path per step.

    Resumes from its last checkpoint when rerun.
    """
    if seeds is not None:
        run_seeds(invocation, seeds, nproc, lambda of_seed: _train(of_seed, more_epochs), json)
        return
    print_answer("supernet", _train(invocation, more_epochs, nproc), json)


def _train(invocation: Invocation, more_epochs: float | None = None, nproc: int | None = None) -> CommandAnswer | None:
    """Train the supernet; None where other processes did."""
    from cli.early_checks import check_arguments

    invocation = with_recipe(with_fitted_space(invocation), "train")
    config = invocation.config
    check_arguments(config)
    from toolchain.nets.checked_space import configured_space
    from toolchain.search.budget import training_latency
    from toolchain.training.data import configured_data
    from toolchain.training.preflight import check_train
    from toolchain.training.sampled_range import sampled_range
    from toolchain.training.supernet_training import train_supernet
    from toolchain.training.torch_setup import prepare_torch

    if in_processes(nproc):
        return None
    prepare_torch(config)
    space = configured_space(config)
    with console.progress() as bars:
        data = configured_data(config, space, bars, "supernet")
    check_train(config, space)
    latency = training_latency(config, space)
    sampled_range(config.train, space, latency)  # refuses a range before a run folder is made
    with open_job(config, space, data, "train", make=True, latency=latency) as job:
        trained = train_supernet(job, more_epochs)
    _warn(trained, data)
    words = ("--learned", "1") if trained.learned else suggested_limit(config, space)
    _say_if_rising(trained, invocation)
    return _answer(trained, job, invocation.hint("search", *words))


def _answer(trained: "Trained", job: "Job", hint: str) -> CommandAnswer:
    data = job.data
    facts = {
        "space": job.space.name,
        "data": data.name,
        "training_images": len(data.fit),
        "holdout_images": len(data.holdout),
        "steps": trained.steps,
        "strategy": job.config.train.strategy,
        "paths_per_step": trained.paths_per_step,
        "checkpoint": str(trained.checkpoint),
    }
    if trained.learned:
        facts["architecture"] = " ".join(trained.learned.architecture)
    scores = trained.scores.model_dump(mode="json") if trained.scores else None
    return CommandAnswer({**facts, "holdout_scores": scores}, facts=facts | _scores(trained), hint=hint)


def _warn(trained: "Trained", data: "Data") -> None:
    """Warnings about amounts that make a poor supernet."""
    if len(data.holdout) > len(data.fit):
        console.say(
            f"warning: {len(data.holdout)} images are held out for the search, and only {len(data.fit)} are used "
            f"for training. Use a smaller --holdout-per-class"
        )
    if trained.steps < FEW_STEPS:
        console.say(f"warning: {trained.steps} steps hardly train a supernet. Use more --epochs or a smaller batch")


def _scores(trained: "Trained") -> dict[str, object]:
    """The last hold-out accuracy of each fixed path, with that of the evaluation before."""
    from toolchain.training.accuracy_interval import accuracy_text

    if trained.scores is None or not trained.scores.scores:
        return {}
    *earlier, last = trained.scores.scores
    texts: dict[str, object] = {}
    for name, accuracy in last.accuracy.items():
        before = f"; {earlier[-1].accuracy[name]:.2%} after {earlier[-1].epoch:.3g} epochs" if earlier else ""
        texts[name] = accuracy_text(accuracy, trained.scores.images) + before
    return texts


def _say_if_rising(trained: "Trained", invocation: Invocation) -> None:
    """Advise a longer training if the last evaluations show that it helps."""
    from toolchain.training.accuracy_interval import standard_error

    if trained.scores is None or len(trained.scores.scores) < 2:
        return
    before, last = trained.scores.scores[-2:]
    if last.mean - before.mean > standard_error(last.mean, trained.scores.images):
        console.say(
            f"the hold-out accuracy of fixed paths still rises: a longer training makes a better supernet, e.g. "
            f"{invocation.hint('train', '--more-epochs', f'{max(1, round(last.epoch / 2))}')}"
        )
