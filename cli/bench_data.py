"""`nastool bench data`: images a second of the loader and of the training step."""

from cli import console, options


def bench_data(
    space: options.Space = None,
    data: options.Data = None,
    holdout_per_class: options.Holdout = None,
    recipe: options.Recipe = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """How many images a second are read, and how many a training step takes: which waits for the other?"""
    from toolchain.config import load_config
    from toolchain.spaces import load_space
    from toolchain.training.stages import prepare_torch
    from toolchain.training.throughput import bench_data as measure

    given = options.flags(space=space, data=data, holdout_per_class=holdout_per_class, train__recipe=recipe)
    settings = load_config(config, given)
    prepare_torch(settings)
    with console.progress() as bars:
        found = measure(settings, load_space(settings.space, settings.fix_ops, settings.widths), bars)
    if json:
        console.answer_json(found)
        return
    rows = [
        (name, f"{found[f'{key}_images_per_s']:,.0f}", f"{found[f'{cpu}_cpu_ms']:.3f}")
        for name, key, cpu in (
            ("decode and transform, one process", "bare_one_process", "bare"),
            (f"the same x {max(1, found['workers'])}", "bare", "bare"),
            ("so many side by side", "side_by_side", "side_by_side"),
            (f"loader, {found['workers']} workers", "loader", "loader"),
            ("training step", "step", "step"),
        )
    ]
    title = f"{found['data']}, {found['size_px']} px, batch {found['batch']}, on {found['device']}"
    console.answer_table(title, ("what", "images/s", "CPU ms an image"), rows)
    if found["waits"] == "step":
        console.say("The step waits for images. Give more workers, or smaller files")
    else:
        console.say("The loader waits for the step: images come quickly enough")
