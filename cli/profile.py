"""`nastool profile`: measure the parts of a space on this device."""

from typing import Annotated

import typer

from cli import console, options


def profile(
    space: options.Space = None,
    fix_ops: options.FixOps = None,
    widths: options.Widths = None,
    device: options.Device = None,
    backend: options.Backend = None,
    batch: options.BatchSize = None,
    threads: options.Threads = None,
    rounds: Annotated[int | None, typer.Option("--rounds", help="How often each part is timed.")] = None,
    quiet_timeout: Annotated[
        str | None, typer.Option("--quiet-timeout", help="Longest wait, in all, for a busy machine: 60s.")
    ] = None,
    db: options.Db = None,
    seed: options.Seed = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """Benchmark every distinct choice block, the stem and the head, into the latency table.

    Parts whose times can't be trusted are timed again, and marked where that doesn't help.
    Killed, the same command goes on with the round that it was in.
    """
    from toolchain.config import load_config
    from toolchain.profiling.profiler import profile as run_profile
    from toolchain.spaces import load_space
    from toolchain.units import parse_seconds

    given = options.flags(
        space=space,
        fix_ops=fix_ops,
        widths=widths,
        seed=seed,
        profile__device=device,
        profile__backend=backend,
        profile__batch=batch,
        profile__threads=threads,
        profile__rounds=rounds,
        profile__quiet_timeout_s=None if quiet_timeout is None else parse_seconds(quiet_timeout),
        profile__db=db,
    )
    settings = load_config(config, given)
    chosen_space = load_space(settings.space, settings.fix_ops, settings.widths)
    with console.progress() as bars:
        profiled = run_profile(settings, chosen_space, bars)
    rows = profiled.table.rows
    if json:
        console.answer_json(
            {
                "space": chosen_space.name,
                "db": str(profiled.db),
                "context": profiled.context.as_dict(),
                "rows": [{"key": r.key, **vars(r.summary), "graph_hash": r.graph_hash} for r in rows.values()],
            }
        )
        return
    context, unstable = profiled.context, profiled.table.unstable()
    summaries = {key: rows[key].summary for key in sorted(rows)}
    families = {key.partition("/")[0] for key in summaries}
    family = f"{families.pop()}/" if len(families) == 1 else ""  # said once, above; the table stays narrow
    console.answer_table(
        f"{family}... on {context.device_model}, {context.backend} {context.backend_version}, "
        f"batch {context.batch}, {context.threads} thread{'s' if context.threads > 1 else ''}, in ms",
        ("part", "latency", "median", "min", "p90", "MAD", "n"),
        [
            (
                key.removeprefix(family),
                f"{s.latency_ms:.3f}{' !' if s.unstable else ''}",
                *(f"{ms:.3f}" for ms in (s.median_ms, s.min_ms, s.p90_ms, s.mad_ms)),
                s.n,
            )
            for key, s in summaries.items()
        ],
    )
    if unstable:
        named = ", ".join(f"{key} ({why})" for key, why in unstable.items())
        console.say(f"warning: unstable (! in the table): {named}. Type the same command again on a quieter machine")
    console.say(f"{len(rows)} rows in {profiled.db}. Next: nastool train, then nastool search --latency ...")
