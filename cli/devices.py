"""`nastool devices`: what is attached, what was measured, and what is known."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation

if TYPE_CHECKING:
    from exporters.devices.known import KnownDevice
    from toolchain.machine.devices import DeviceOverview

TERA, GIGA = 1e12, 1e9


@configured("devices")
def devices(
    invocation: Invocation,
    name: Annotated[
        str | None, typer.Argument(help="Show one known device in full, with sources.", show_default=False)
    ] = None,
    json: options.Json = False,
) -> None:
    """List attached devices, devices with recorded latencies, and known devices.

    Pass the name of an attached device to --device. Known devices can be estimated with --estimate.
    """
    console.say("looking at devices and the latency table")
    from exporters.devices.attached import require_device_name
    from exporters.devices.known import find_known
    from toolchain.machine.devices import device_overview

    if name is not None:
        known = find_known(name)
        if json:
            console.answer_json(asdict(known))
        else:
            console.answer_facts(known.name, _facts(known))
        return
    require_device_name(invocation.config.profile.device)
    overview = device_overview(invocation.config.profile.db, invocation.config.profile.device)
    if json:
        console.answer_json(
            {
                "attached": [device.as_dict() for device in overview.attached],
                "measured": [
                    {"id": target.id, "records": records, "target": target.as_dict()}
                    for target, records in overview.measured
                ],
                "known": [asdict(device) for device in overview.known],
            }
        )
        return
    _answer(overview)


def _answer(overview: "DeviceOverview") -> None:
    console.answer_table(
        "attached to this machine, or remote",
        ("name", "also", "model", "capability", "driver", "memory GB"),
        [
            (
                device.name,
                " ".join(device.aliases),
                device.model,
                device.capability,
                device.driver,
                _in(device.memory_bytes or None, GIGA),
            )
            for device in overview.attached
        ],
    )
    console.answer_table(
        f"measured, in {overview.db}",
        ("device", "backend", "batch", "records", "target"),
        [
            (
                target.device_model + (" (ESTIMATE)" if target.device_kind == "estimate" else ""),
                target.backend,
                target.batch,
                records,
                target.id[:8],
            )
            for target, records in overview.measured
        ],
    )
    console.answer_table(
        "known: peak TFLOP/s (int8: TOP/s) as the maker publishes them, compute capability SM",
        ("name", "SM", "fp32", "fp16", "int8", "GB/s", "GB", "TensorRT", "estimate"),
        [
            (
                device.name,
                device.capability,
                _in(device.fp32_flops_per_s, TERA),
                _in(device.fp16_flops_per_s, TERA),
                _in(device.int8_ops_per_s, TERA),
                _in(device.bytes_per_s, GIGA),
                _in(device.memory_bytes, GIGA),
                f"<= {device.last_tensorrt}" if device.last_tensorrt else "",
                "fitted" if device.roofline else "rates" if device.can_be_estimated else "no",
            )
            for device in overview.known
        ],
    )


def _facts(known: "KnownDevice") -> dict[str, object]:
    facts: dict[str, object] = {
        "model": known.model,
        "also": ", ".join(known.aliases),
        "compute capability": known.capability,
        "fp32, TFLOP/s": _in(known.fp32_flops_per_s, TERA),
        "fp16, TFLOP/s": _in(known.fp16_flops_per_s, TERA),
        "int8, TOP/s": _in(known.int8_ops_per_s, TERA),
        "memory, GB/s": _in(known.bytes_per_s, GIGA),
        "memory, GB": _in(known.memory_bytes, GIGA),
        "last TensorRT": known.last_tensorrt,
        "runs with": known.runs_with,
        "sources": "; ".join(known.sources),
    }
    if known.roofline:
        facts["estimate, TFLOP/s"] = _in(known.roofline.flops_per_s, TERA)
        facts["estimate, GB/s"] = _in(known.roofline.bytes_per_s, GIGA)
        facts["estimate from"] = known.roofline.source
        facts["fitted on"] = known.roofline.fitted_on
    return {name: value for name, value in facts.items() if value}


def _in(value: float | None, unit: float) -> str:
    return "" if value is None else f"{value / unit:.4g}"
