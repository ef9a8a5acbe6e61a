"""`nastool cost`: what an architecture costs, without training or measuring anything."""

from typing import Annotated

import typer

from cli import console, options


def cost(
    arch: Annotated[str, typer.Option("--arch", help="Choice keys or indices, separated by spaces or commas.")],
    space: options.Space = None,
    db: options.Db = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """Count the MACs and parameters of an architecture, and sum its measured parts if they were profiled."""
    from toolchain.config import load_config
    from toolchain.search.budget import load_costs
    from toolchain.spaces import load_space

    settings = load_config(config, options.flags(space=space, profile__db=db))
    chosen_space = load_space(settings.space)
    chosen = chosen_space.architecture(arch)
    costs = load_costs(settings, chosen_space, need_latency=False)
    blocks = [
        {"block": block.geometry, "choice": key, "macs": int(row[key])}
        for block, key, row in zip(chosen_space.blocks, chosen.choices, costs.macs.rows, strict=True)
    ]
    totals = costs.of(chosen)
    if json:
        head = {"space": chosen_space.name, "architecture": list(chosen.choices), **totals}
        console.answer_json({**head, "fixed_macs": int(costs.macs.fixed), "blocks": blocks})
        return
    rows = [(n, b["block"], b["choice"], f"{b['macs']:,}") for n, b in enumerate(blocks)]
    console.answer_table(f"{chosen_space.name}: choice blocks", ("", "block", "choice", "MACs"), rows)
    latency_ms = totals["latency_ms"]
    console.answer_facts(
        "whole network (MACs: multiply-adds of convolutions and classifier at batch 1)",
        {
            "macs": f"{totals['macs']:,}",
            "params": f"{totals['params']:,}",
            "latency_ms": "not measured: nastool profile" if latency_ms is None else f"{latency_ms:.3f} (predicted)",
        },
    )
