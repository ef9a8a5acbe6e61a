"""`nastool train`: train the supernet."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console, options

FEW_STEPS = 100


def train(
    space: options.Space = None,
    fixed_ops: options.FixOps = None,
    widths: options.Widths = None,
    data: options.Data = None,
    holdout_per_class: options.Holdout = None,
    recipe: options.Recipe = None,
    epochs: options.Epochs = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler",
            help="Path sampling: constraint (uniform over cost levels, the paper's default), balanced or uniform.",
        ),
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option("--from", help="Weights of torchvision's ResNet-18 or -34 to start from.")
    ] = None,
    run: options.Run = None,
    runs: options.Runs = None,
    seed: options.Seed = None,
    config: options.ConfigFile = None,
    nproc: options.Nproc = None,
    json: options.Json = False,
) -> None:
    """Train the supernet, one path a step. Killed, the same command goes on."""
    from toolchain.config import load_config
    from toolchain.nets.checked_space import load_checked_space
    from toolchain.parallel.collectives import joined
    from toolchain.runs import open_run
    from toolchain.training.data import load_data
    from toolchain.training.precision import compute_device
    from toolchain.training.preflight import check_train
    from toolchain.training.stages import prepare_torch, train_supernet

    given = options.flags(
        space=space,
        fixed_ops=fixed_ops,
        widths=widths,
        data=data,
        holdout_per_class=holdout_per_class,
        run=run,
        runs=runs,
        seed=seed,
        train__recipe=recipe,
        train__changes__epochs=epochs,
        train__sampler=sampler,
        train__start_from=start_from,
    )
    settings = load_config(config, given)
    if options.in_processes(nproc):
        return
    again = options.again(space, fixed_ops, widths, data, holdout_per_class, runs, config)
    prepare_torch(settings)
    chosen_space = load_checked_space(settings.space, settings.fixed_ops, settings.widths)
    with console.progress() as bars:
        images = load_data(settings.data_name(), chosen_space, settings.holdout_per_class, settings.seed, bars)
    check_train(settings, chosen_space)
    with (
        joined(compute_device(settings.train.device)),
        open_run(settings, make=True) as folder,
        console.progress() as bars,
    ):
        trained = train_supernet(settings, chosen_space, images, folder, bars)
    if len(images.holdout) > len(images.fit):
        console.say(
            f"warning: {len(images.holdout)} images are held out for the search, and {len(images.fit)} are left to "
            f"train on. A smaller --holdout-per-class leaves more"
        )
    if trained.steps < FEW_STEPS:
        console.say(f"warning: {trained.steps} steps teach a supernet little. Give more --epochs, or a smaller batch")
    facts = {
        "space": chosen_space.name,
        "data": images.name,
        "training_images": len(images.fit),
        "holdout_images": len(images.holdout),
        "steps": trained.steps,
        "checkpoint": str(trained.checkpoint),
    }
    if json:
        console.answer_json(facts)
    else:
        console.answer_facts("supernet", facts)
        limit = "--bitops ..." if chosen_space.quantized else "--latency ... (or --macs ...)"
        console.say(f"Next: nastool search --run {settings.run}{again} {limit}")
