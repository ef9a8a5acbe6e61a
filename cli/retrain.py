"""`nastool retrain`: train the winner alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console, options
from cli.configured import configured
from cli.flag import Flag
from cli.invocation import Invocation, with_fitted_space, with_recipe
from cli.processes import Nproc, in_processes
from cli.seeds import CommandAnswer, Seeds, print_answer, run_seeds
from cli.training_job import open_job

if TYPE_CHECKING:
    from pathlib import Path

    from toolchain.training.data import Data
    from toolchain.training.retrained import Retrained


def _of_published(flags: Mapping[Flag, Any], values: Mapping[str, Any]) -> Mapping[Flag, Any]:
    """The flags that train a published network: with its space, and a run of its name, where no flag gives another.

    Raises:
        BadArchitecture: the name is unknown.
    """
    name = values["published"]
    if name is None:
        return flags
    from toolchain.nets.published import published

    own = {"space": published(name).space, "run": name}
    return {flag: own.get(flag.key) if value is None else value for flag, value in flags.items()}


@configured("retrain", prepare=_of_published)
def retrain(
    invocation: Invocation,
    arch: options.Arch = None,
    budget: options.BudgetName = None,
    published: Annotated[
        str | None,
        typer.Option("--published", help="A published network instead of the winner, e.g. fbnet_a, in its own run."),
    ] = None,
    seeds: Seeds = None,
    nproc: Nproc = None,
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
    invocation: Invocation, arch: str | None, budget: str | None, nproc: int | None = None
) -> CommandAnswer | None:
    """Train the network; None where other processes did."""
    from cli.early_checks import check_arguments

    config = with_recipe(with_fitted_space(invocation), "retrain").config
    check_arguments(config, of_run=arch is None)
    from toolchain.nets.checked_space import configured_space
    from toolchain.runs import run_of
    from toolchain.search.winner import select_architecture
    from toolchain.training.data import configured_data
    from toolchain.training.preflight import check_retrain
    from toolchain.training.retraining import retrain as run_retrain
    from toolchain.training.torch_setup import prepare_torch

    if in_processes(nproc):
        return None
    prepare_torch(config)
    space = configured_space(config)
    chosen = select_architecture(arch, budget, space, run_of(config))
    with console.progress() as bars:
        data = configured_data(config, space, bars, "retrain")
    chosen.require_data(data.name, data.digest)
    check_retrain(config, space)
    options.say_which_winner(arch, budget, run_of(config))
    with open_job(config, space, data, "retrain", make=arch is not None) as job:
        result = run_retrain(job, chosen.architecture)
    if chosen.device:
        invocation = invocation.with_device(chosen.device)
    words = options.selected(arch, budget)
    if arch is not None and job.run.budgets:  # export/ is for the winner
        words = (*words, "--out", str(job.run.export_by_hand(chosen.architecture)))
    weights = job.run.retrain(chosen.architecture) / "best.pt"
    return _answer(result, data, weights, invocation.hint("export", *words))


def _answer(result: "Retrained", data: "Data", weights: "Path", hint: str) -> CommandAnswer:
    from toolchain.training.accuracy_interval import interval_fields

    intervals = interval_fields("test", result.test_accuracy, len(data.test.labels))
    intervals |= interval_fields("holdout", result.holdout_accuracy, len(data.holdout))
    return CommandAnswer(
        document=result.model_dump(mode="json") | intervals | {"weights": str(weights)},
        values={"test_accuracy": result.test_accuracy, "holdout_accuracy": result.holdout_accuracy},
        hint=hint,
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
