"""`nastool retrain`: train the winner from scratch."""

from typing import TYPE_CHECKING

from cli import console, options

if TYPE_CHECKING:
    from pathlib import Path

    from toolchain.training.retrained import Retrained


@options.configured("retrain")
def retrain(
    invocation: options.Invocation,
    arch: options.Arch = None,
    budget: options.BudgetName = None,
    nproc: options.Nproc = None,
    json: options.Json = False,
) -> None:
    """Train the winner from scratch and test it once.

    Resumes from its last checkpoint when rerun.
    """
    from toolchain.nets.checked_space import configured_space
    from toolchain.parallel.collectives import joined
    from toolchain.runs import open_run, run_of
    from toolchain.search.winner import select_architecture
    from toolchain.training.data import configured_data
    from toolchain.training.job import Job
    from toolchain.training.precision import compute_device
    from toolchain.training.preflight import check_retrain
    from toolchain.training.retraining import retrain as run_retrain
    from toolchain.training.torch_setup import prepare_torch

    options.require_one(arch, budget)
    invocation = invocation.with_profile_of_run()
    config = invocation.config
    if options.in_processes(nproc):
        return
    prepare_torch(config)
    space = configured_space(config)
    chosen = select_architecture(arch, budget, space, run_of(config))
    with console.progress() as bars:
        data = configured_data(config, space, bars)
    chosen.require_data(data.name, data.digest)
    check_retrain(config, space)
    with (
        joined(compute_device(config.retrain.device)),
        open_run(config, make=arch is not None) as folder,
        console.progress() as bars,
    ):
        result = run_retrain(Job(config, space, data, folder, bars), chosen.architecture)
    weights = folder.retrain(chosen.architecture) / "best.pt"
    if json:
        console.answer_json(result.model_dump(mode="json") | {"weights": str(weights)})
    else:
        _answer(result, data.name, weights)
        console.say(f"Next: {invocation.hint('export', *options.selected(arch, budget))}")


def _answer(result: "Retrained", data: str, weights: "Path") -> None:
    console.answer_facts(
        "retrained",
        {
            "architecture": " ".join(result.architecture),
            "data": data,
            "test accuracy": f"{result.test_accuracy:.2%}",
            "hold-out accuracy": f"{result.holdout_accuracy:.2%}",
            "weights": weights,
        },
    )
