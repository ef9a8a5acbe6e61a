"""`nastool retrain`: train the winner alone."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.seeds import CommandAnswer, Seeds, print_answer, run_seeds

if TYPE_CHECKING:
    from pathlib import Path

    from toolchain.training.data import Data
    from toolchain.training.retrained import Retrained


@options.configured("retrain")
def retrain(
    invocation: options.Invocation,
    arch: options.Arch = None,
    budget: options.BudgetName = None,
    published: Annotated[
        str | None,
        typer.Option("--published", help="A published network instead of the winner, e.g. fbnet_a, in its own run."),
    ] = None,
    seeds: Seeds = None,
    nproc: options.Nproc = None,
    json: options.Json = False,
) -> None:
    """Train the winner alone, from scratch or from given weights, and test it once.

    Resumes from its last checkpoint when rerun.
    """
    from toolchain.nets.published import published as published_network

    options.require_one(arch, budget, published)
    if published is not None:
        arch = published_network(published).architecture
    if seeds is not None:
        run_seeds(invocation, seeds, nproc, lambda of_seed: _retrain(of_seed, arch, budget), json)
        return
    print_answer("retrained", _retrain(invocation, arch, budget, nproc), json)


def _retrain(
    invocation: options.Invocation, arch: str | None, budget: str | None, nproc: int | None = None
) -> CommandAnswer | None:
    """Train the network; None where other processes did."""
    from cli.early_checks import check_arguments

    config = options.with_recipe(options.with_fitted_space(invocation), "retrain").config
    check_arguments(config, of_run=arch is None)
    from toolchain.nets.checked_space import configured_space
    from toolchain.parallel.collectives import joined
    from toolchain.runs import open_run, run_of
    from toolchain.search.winner import select_architecture
    from toolchain.tracking.tracked import tracked
    from toolchain.training.accuracy_interval import interval_fields
    from toolchain.training.data import configured_data
    from toolchain.training.job import Job
    from toolchain.training.precision import compute_device
    from toolchain.training.preflight import check_retrain
    from toolchain.training.retraining import retrain as run_retrain
    from toolchain.training.torch_setup import prepare_torch

    if options.in_processes(nproc):
        return None
    prepare_torch(config)
    space = configured_space(config)
    chosen = select_architecture(arch, budget, space, run_of(config))
    with console.progress() as bars:
        data = configured_data(config, space, bars, "retrain")
    chosen.require_data(data.name, data.digest)
    check_retrain(config, space)
    options.say_which_winner(arch, budget, run_of(config))
    with (
        joined(compute_device(config.retrain.device)),
        open_run(config, make=arch is not None, stage="retrain") as folder,
        console.progress() as bars,
        tracked(config, folder, bars, "retrain") as trackers,
    ):
        result = run_retrain(Job(config, space, data, folder, bars, trackers=trackers), chosen.architecture)
    weights = folder.retrain(chosen.architecture) / "best.pt"
    intervals = interval_fields("test", result.test_accuracy, len(data.test.labels))
    intervals |= interval_fields("holdout", result.holdout_accuracy, len(data.holdout))
    if chosen.device:
        invocation = invocation.with_device(chosen.device)
    words = options.selected(arch, budget)
    if arch is not None and folder.budgets:  # export/ is for the winner
        words = (*words, "--out", str(folder.export_by_hand(chosen.architecture)))
    return CommandAnswer(
        document=result.model_dump(mode="json") | intervals | {"weights": str(weights)},
        values={"test_accuracy": result.test_accuracy, "holdout_accuracy": result.holdout_accuracy},
        hint=invocation.hint("export", *words),
        facts=_facts(result, data, weights),
    )


def _facts(result: "Retrained", data: "Data", weights: "Path") -> dict[str, object]:
    from toolchain.training.accuracy_interval import accuracy_text

    return {
        "architecture": " ".join(result.architecture),
        "data": data.name,
        "test accuracy": accuracy_text(result.test_accuracy, len(data.test.labels)),
        "hold-out accuracy": accuracy_text(result.holdout_accuracy, len(data.holdout)),
        "weights": weights,
    }
