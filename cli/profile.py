"""`nastool profile`: measure the block variants of a space on a target."""

from cli import console, options


@options.configured("profile")
def profile(invocation: options.Invocation, json: options.Json = False) -> None:
    """Measure every block variant, the stem and the head, and store their latencies in the table.

    Whole networks are measured as well, to calibrate the latency model. Records that stay noisy are measured again
    and marked. With --estimate, latencies are computed from the device's peak rates: nothing is measured or
    calibrated. Resumes from the current round when rerun.
    """
    from toolchain.costs.latency import latency_model, network_prefix
    from toolchain.measuring.rates import rates_of
    from toolchain.nets.checked_space import configured_space
    from toolchain.profiling.profiler import profile as run_profile
    from toolchain.search.budget import middle_latency_ms
    from toolchain.training.data import class_difference

    settings = invocation.config
    chosen_space = configured_space(settings)
    if difference := class_difference(settings.data, chosen_space):
        console.say(f"warning: {difference} before you train; the head is profiled for the classes of the space")
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
        ("variant", "latency", "median", "min", "p90", "MAD", "n"),
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
        console.say(f"warning: unstable (! in the table): {named}. Run the command again when the machine is idle")
    if target.estimate:
        console.say(
            f"ESTIMATE: the latency of a network is the sum of these. The error against the device is not known; its "
            f"rates are {rates_of(settings.profile.device).source}"
        )
    else:
        console.say(f"the latency of a network is the {calibration}")
    networks = "" if target.estimate else f" and {len(whole)} whole networks"
    console.say(f"{len(rows)} block variants{networks} in {profiled.db}")
    limit = ("--latency", f"{middle_latency_ms(chosen_space, profiled.table, settings.seed):g}ms")
    console.say(f"Next: {invocation.hint('train')}")
    console.say(f"then: {invocation.hint('search', *limit)}")
