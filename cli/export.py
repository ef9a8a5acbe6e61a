"""`nastool export`: write the file that ships."""

from typing import Any

from cli import console, options


def export(
    arch: options.Arch = None,
    budget: options.BudgetName = None,
    space: options.Space = None,
    fix_ops: options.FixOps = None,
    widths: options.Widths = None,
    data: options.Data = None,
    holdout_per_class: options.Holdout = None,
    device: options.Device = None,
    estimate: options.Estimate = None,
    backend: options.Backend = None,
    batch: options.BatchSize = None,
    threads: options.Threads = None,
    db: options.Db = None,
    run: options.Run = None,
    runs: options.Runs = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """Export the retrained winner as ONNX, prove that it computes what torch does, and measure it."""
    from toolchain.config import load_config
    from toolchain.export import export as run_export
    from toolchain.runs import choose_architecture, open_run, run_of
    from toolchain.spaces import load_space
    from toolchain.training.data import load_data
    from toolchain.training.stages import prepare_torch

    given = options.flags(
        space=space,
        fix_ops=fix_ops,
        widths=widths,
        data=data,
        holdout_per_class=holdout_per_class,
        run=run,
        runs=runs,
        profile__device=device,
        profile__estimate=estimate,
        profile__backend=backend,
        profile__batch=batch,
        profile__threads=threads,
        profile__db=db,
    )
    settings = load_config(config, given)
    prepare_torch(settings)
    chosen_space = load_space(settings.space, settings.fix_ops, settings.widths)
    chosen = choose_architecture(arch, budget, chosen_space, run_of(settings))
    images = load_data(settings.data_name(), chosen_space, settings.holdout_per_class, settings.seed)
    chosen.require_data(images.name, images.digest)
    with open_run(settings) as folder, console.progress() as bars:
        manifest = run_export(settings, chosen_space, chosen, images, folder, bars)
    if json:
        console.answer_json(manifest)
        return
    parity = manifest["parity"]
    console.answer_facts(
        "exported",
        {
            "file": folder.onnx,
            "manifest": folder.manifest,
            "parity": f"relative error {parity['relative_error']:.1e}, top-1 agreement {parity['top1_agreement']:.2%} "
            f"on {parity['images']} images at batch {', '.join(map(str, parity['batches']))}",
            **_latency(manifest, settings.profile.batch),
            "test accuracy": f"{manifest['test_accuracy']:.2%}",
        },
    )
    console.say(f"Next: nastool check --run {settings.run}")


def _latency(manifest: dict[str, Any], batch: int) -> dict[str, str]:
    """The measured figure, or the estimate that stands in for it, by what it is called."""
    if not manifest["estimate"]:
        return {"latency, measured": f"{manifest['measured_latency_ms']:.3f} ms a batch of {batch}"}
    estimated = manifest["costs"]["latency_ms"]
    figure = "none in the table" if estimated is None else f"{estimated:.3f} ms a batch of {batch}"
    return {"latency, estimate": f"{figure}; not measured"}
