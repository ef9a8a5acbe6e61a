"""`nastool profile`: measure the parts of a space on this device."""

from typing import Annotated

import typer

from cli import console, options


def profile(
    space: options.Space = None,
    fixed_ops: options.FixOps = None,
    widths: options.Widths = None,
    device: options.Device = None,
    estimate: options.Estimate = None,
    backend: options.Backend = None,
    precision: options.Precision = None,
    batch: options.BatchSize = None,
    threads: options.Threads = None,
    rounds: Annotated[int | None, typer.Option("--rounds", help="How often each part is timed.")] = None,
    networks: Annotated[
        int | None, typer.Option("--networks", help="Whole networks timed as well; 0: the sum is not calibrated.")
    ] = None,
    quiet_timeout: Annotated[
        str | None, typer.Option("--quiet-timeout", help="Longest wait, in all, for a busy machine: 60s.")
    ] = None,
    db: options.Db = None,
    seed: options.Seed = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """Benchmark every distinct choice block, the stem and the head, into the latency table.

    Whole networks are timed as well, and the sum of the parts is calibrated on them.
    With --estimate, nothing is measured: the rows of a device that isn't here are computed from its known rates, and
    nothing is calibrated.
    Parts whose times can't be trusted are timed again, and marked where that doesn't help.
    Killed, the same command goes on with the round that it was in.
    """
    from toolchain.config import load_config
    from toolchain.costs.latency import latency_model, network_prefix
    from toolchain.measuring.rates import rates_of
    from toolchain.nets.checked_space import load_checked_space
    from toolchain.profiling.profiler import profile as run_profile
    from toolchain.units import parse_seconds

    given = options.flags(
        space=space,
        fixed_ops=fixed_ops,
        widths=widths,
        seed=seed,
        profile__device=device,
        profile__estimate=estimate,
        profile__backend=backend,
        profile__precision=precision,
        profile__batch=batch,
        profile__threads=threads,
        profile__rounds=rounds,
        profile__networks=networks,
        profile__quiet_timeout_s=None if quiet_timeout is None else parse_seconds(quiet_timeout),
        profile__db=db,
    )
    settings = load_config(config, given)
    chosen_space = load_checked_space(settings.space, settings.fixed_ops, settings.widths)
    with console.progress() as bars:
        profiled = run_profile(settings, chosen_space, bars)
    calibration = latency_model(chosen_space, profiled.table).calibration
    prefix = network_prefix(chosen_space)
    rows = {key: row for key, row in profiled.table.records.items() if not key.startswith(prefix)}
    whole = {key.removeprefix(prefix): row for key, row in profiled.table.records.items() if key.startswith(prefix)}
    if json:
        console.answer_json(
            {
                "space": chosen_space.name,
                "db": profiled.db,
                "estimate": profiled.target.estimate,
                "target": profiled.target.as_dict(),
                "rows": [{"key": r.key, **vars(r.summary), "graph_hash": r.graph_hash} for r in rows.values()],
                "networks": [{"architecture": arch.split(), **vars(r.summary)} for arch, r in whole.items()],
                "calibration": vars(calibration),
            }
        )
        return
    target, unstable = profiled.target, profiled.table.unstable()
    summaries = {key: rows[key].summary for key in sorted(rows)}
    families = {key.partition("/")[0] for key in summaries}
    family = f"{families.pop()}/" if len(families) == 1 else ""  # said once, above; the table stays narrow
    runs_on = "" if target.estimate else f", {target.threads} thread{'s' if target.threads > 1 else ''}"
    console.answer_table(
        f"{'estimate, nothing was measured: ' if target.estimate else ''}{family}... on {target.device_model}, "
        f"{target.backend} {target.backend_version}, {target.precision}, batch {target.batch}{runs_on}, in ms",
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
    if target.estimate:
        asked = settings.profile
        console.say(
            f"ESTIMATE: a network's latency is the sum of these. How far that is from the device is not known here; "
            f"its rates are {rates_of(asked.device).source}"
        )
        console.say(
            f"{len(rows)} parts in {profiled.db}. Next: nastool train, then nastool search --device {asked.device} "
            f"--estimate --batch {asked.batch} --latency ..."
        )
        return
    console.say(f"a network's latency is the {calibration}")
    console.say(
        f"{len(rows)} parts and {len(whole)} whole networks in {profiled.db}. "
        f"Next: nastool train, then nastool search --latency ..."
    )
