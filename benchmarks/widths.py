"""Measure the latency of widths whose channels are no multiples of the SIMD block, and of the same widths rounded.

    python benchmarks/widths.py [--space NAME] [--op OP] [--round-to N] [--batch N] [--rounds N]

One network for each width and rounding, with the same op and width in every block. All are timed in every round, in
random order, so changes of the machine's speed affect all alike. A latency is the median of the rounds; the quartiles
of the rounds follow in parentheses.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from lines import Lines, load

from exporters.graph.model import Model
from latency_db.table import round_ms
from toolchain.config import parse_config, preset_text
from toolchain.costs.counters import macs_cost
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.rounds import on_target, time_until_stable
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.units import format_count

WIDTHS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)


@dataclass(frozen=True)
class Subject:
    """The network with one width in every block, of a space with this one width."""

    space: SearchSpace
    arch: Architecture

    @property
    def mids(self) -> str:
        """The mid channels of each stage: `12, 24`."""
        choices = zip(self.space.blocks, self.space.choices_of(self.arch), strict=True)
        return ", ".join(str(mid) for mid in dict.fromkeys(choice.mid(block.c_out // 2) for block, choice in choices))

    @property
    def macs(self) -> str:
        return format_count(macs_cost(self.space).cost(self.arch))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick", help="without options of ops and widths")
    parser.add_argument("--op", default="choice_3")
    parser.add_argument("--round-to", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    subjects = {(width, to): subject(args.space, args.op, width, to) for width in WIDTHS for to in (1, args.round_to)}
    lines, before = Lines(), load()
    with TemporaryDirectory(prefix="nastool-") as folder:
        profile = {"batch": args.batch, "rounds": args.rounds, "db": str(Path(folder) / "latency.sqlite")}
        config = parse_config(preset_text("quick"), {"profile": profile}, "the benchmark")
        models = {}
        for (width, to), one in subjects.items():
            models[f"{width:g}/{to}"] = Model(Path(folder) / f"{width:g}-{to}.onnx")
            network = Network(one.space, one.arch, STANDALONE)
            export_for_timing(network, one.space.input_shape, models[f"{width:g}/{to}"].path)
        target = require_target(config.profile)
        plan, files = measurement_plan(config), on_target(models, target)
        timed = list(time_until_stable(files, plan, config.profile.db, lines, "widths"))
    rounds_ms = {
        key: [round_ms(samples[key], target.spec.threads) for _, samples in timed if key in samples] for key in models
    }
    print(f"{args.space}, {args.op} in all blocks, batch {args.batch}, 1 thread, {args.rounds} rounds or more")
    print(f"{target.target.device_model}, {target.target.backend} {target.target.backend_version}")
    print(f"load: {before} before, {load()} after")
    print()
    part = ("mid channels", "MACs", "ms (quartiles)")
    print(f"{'':7}{'truncated':44}rounded to {args.round_to}")
    print(f"{'width':7}" + "".join(f"{part[0]:14}{part[1]:8}{part[2]:22}" for _ in range(2)).rstrip())
    for width in WIDTHS:
        cells = (
            f"{subjects[width, to].mids:14}{subjects[width, to].macs:8}{spread(rounds_ms[f'{width:g}/{to}']):22}"
            for to in (1, args.round_to)
        )
        print(f"{width:<7g}{''.join(cells).rstrip()}")


def subject(name: str, op: str, width: float, round_to: int) -> Subject:
    separator = "," if ":" in name else ":"
    space = load_space(f"{name}{separator}ops={op},widths={width:g},round_to={round_to}")
    return Subject(space, space.architecture([0] * len(space.blocks)))


def spread(values: list[float]) -> str:
    """`1.71 (1.69 - 1.74)`"""
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f} - {high:.2f})"


if __name__ == "__main__":
    main()
