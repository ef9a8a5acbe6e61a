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
    from toolchain.nets.checked_space import load_checked_space
    from toolchain.parallel.collectives import joined
    from toolchain.runs import open_run, run_of
    from toolchain.search.winner import select_architecture
    from toolchain.training.data import load_data
    from toolchain.training.precision import compute_device
    from toolchain.training.preflight import check_retrain
    from toolchain.training.stages import prepare_torch
    from toolchain.training.stages import retrain as run_retrain

    options.require_one(arch, budget)
    invocation = invocation.with_profile_of_run()
    settings = invocation.config
    if options.in_processes(nproc):
        return
    prepare_torch(settings)
    chosen_space = load_checked_space(settings.space, settings.fixed_ops, settings.widths)
    chosen = select_architecture(arch, budget, chosen_space, run_of(settings))
    winner = chosen.architecture
    with console.progress() as bars:
        images = load_data(settings.data_name(), chosen_space, settings.holdout_per_class, settings.seed, bars)
    chosen.require_data(images.name, images.digest)
    check_retrain(settings, chosen_space)
    with (
        joined(compute_device(settings.retrain.device)),
        open_run(settings, make=arch is not None) as folder,
        console.progress() as bars,
    ):
        result = run_retrain(settings, chosen_space, winner, images, folder, bars)
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
