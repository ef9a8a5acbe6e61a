"""`nastool retrain`: train the winner from scratch."""

from cli import console, options


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
    settings = invocation.config
    if options.in_processes(nproc):
        return
    prepare_torch(settings)
    chosen_space = configured_space(settings)
    chosen = select_architecture(arch, budget, chosen_space, run_of(settings))
    winner = chosen.architecture
    with console.progress() as bars:
        images = configured_data(settings, chosen_space, bars)
    chosen.require_data(images.name, images.digest)
    check_retrain(settings, chosen_space)
    with (
        joined(compute_device(settings.retrain.device)),
        open_run(settings, make=arch is not None) as folder,
        console.progress() as bars,
    ):
        result = run_retrain(Job(settings, chosen_space, images, folder, bars), winner)
    weights = folder.retrain(winner) / "best.pt"
    if json:
        console.answer_json(result.model_dump(mode="json") | {"weights": str(weights)})
        return
    console.answer_facts(
        "retrained",
        {
            "architecture": " ".join(result.architecture),
            "data": images.name,
            "test accuracy": f"{result.test_accuracy:.2%}",
            "hold-out accuracy": f"{result.holdout_accuracy:.2%}",
            "weights": weights,
        },
    )
    console.say(f"Next: {invocation.hint('export', *options.selected(arch, budget))}")
