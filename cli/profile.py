"""`nastool profile`: measure the block variants of a space on a target."""

from typing import TYPE_CHECKING

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation, say_space, with_fitted_space

if TYPE_CHECKING:
    from toolchain.config import Config
    from toolchain.profiling.profiler import Profiled


@configured("profile")
def profile(invocation: Invocation, json: options.Json = False) -> None:
    """Measure every block variant, the stem and the head, and store their latencies in the table.

    Whole networks are measured as well, to calibrate the latency model. Records that stay noisy are measured again
    and marked. With --estimate, latencies are computed from the device's peak rates: nothing is measured or
    calibrated. Resumes from the current round when rerun.
    """
    config = with_fitted_space(invocation).config
    say_space(invocation, config)
    from toolchain.nets.checked_space import configured_space
    from toolchain.profiling.fleet import profile_devices
    from toolchain.search.budget import middle_latency_ms
    from toolchain.training.data import class_difference

    space = configured_space(config)
    if difference := class_difference(config.data, space):
        console.say(f"warning: {difference} before you train; the head is profiled for the classes of the space")
    with console.progress() as bars:
        by_device = profile_devices(config, space, bars)
    profiles = list(by_device.values())
    if json:
        documents = {device: profiled.as_dict() for device, profiled in by_device.items()}
        console.answer_json({"devices": documents} if len(profiles) > 1 else profiles[0].as_dict())
        return
    for device, profiled in by_device.items():
        _answer(profiled, f"{device}: " if len(profiles) > 1 else "")
        _say_model(profiled, config)
    # a limit that about half of the architectures meet on the slowest device
    limit_ms = max(middle_latency_ms(space, profiled.table, config.seed) for profiled in profiles)
    console.say(f"Next: {invocation.hint('train')}")
    console.say(f"then: {invocation.hint('search', '--latency', f'{limit_ms:g}ms')}")


def _answer(profiled: "Profiled", on: str = "") -> None:
    """The records as a table; `on` begins its title."""
    target = profiled.target
    summaries = {record.key: record.summary for record in profiled.variants}
    families = {key.partition("/")[0] for key in summaries}
    family = f"{families.pop()}/" if len(families) == 1 else ""  # said once, above; the table stays narrow
    precision = "int8 containers" if profiled.space.quantized else target.precision
    runs_on = "" if target.estimate else f", {target.threads} thread{'s' if target.threads > 1 else ''}"
    console.answer_table(
        f"{on}{'estimate, nothing was measured: ' if target.estimate else ''}{family}... on {target.device_model}, "
        f"{target.backend} {target.backend_version}, {precision}, batch {target.batch}{runs_on}, in ms",
        ("variant", "latency", "median", "min", "p90", "MAD", "n"),
        [
            (
                key.removeprefix(family),
                f"{summary.latency_ms:.3f}{' !' if summary.unstable else ''}",
                *(f"{ms:.3f}" for ms in (summary.median_ms, summary.min_ms, summary.p90_ms, summary.mad_ms)),
                summary.n,
            )
            for key, summary in sorted(summaries.items())
        ],
    )


def _say_model(profiled: "Profiled", config: "Config") -> None:
    """How reliable the records are, and how the latency of a network follows from them."""
    from toolchain.measuring.rates import rates_of

    if unstable := profiled.table.unstable():
        named = ", ".join(f"{key} ({why})" for key, why in unstable.items())
        console.say(f"warning: unstable (! in the table): {named}. Run the command again when the machine is idle")
    if profiled.target.estimate:
        console.say(
            f"ESTIMATE: the latency of a network is the sum of these. The error against the device is not known; its "
            f"rates are {rates_of(config.profile.device).source}"
        )
    else:
        console.say(f"the latency of a network is the {profiled.calibration}")
    networks = "" if profiled.target.estimate else f" and {len(profiled.networks)} whole networks"
    console.say(f"{len(profiled.variants)} block variants{networks} in {profiled.db}")
