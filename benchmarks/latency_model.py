"""Measure how well the calibrated sum of variants predicts unseen whole networks.

    python benchmarks/latency_model.py --space shufflenet_v2 --batch 8
    python benchmarks/latency_model.py --space shufflenet_v2_quick --batch 32

The space is profiled like `nastool profile` does, with more whole networks than usual, into a separate table. A random
part of the networks calibrates the sum of variants; the others are unseen and compared with their predictions. All
are timed in the same rounds, so changes of the machine's speed do not affect the result. With --later the unseen
networks are exported, compiled and timed once more at the end; this is the second column. Skill is the error relative
to always predicting the median of the calibration's networks.

A 95 % margin covers 95 % of unseen networks on average over many calibrations, but more or fewer for a single one: the
last line is for other random choices of the calibration networks out of the same networks.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
from lines import Lines, load

from toolchain.config import Config, parse_config, preset_text
from toolchain.costs.calibration import kendall_tau
from toolchain.costs.corrections import mape
from toolchain.costs.latency import LatencyModel, latency_model
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.rounds import summarize_files
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.profiler import profile
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.torch_setup import prepare_torch

Latencies = Mapping[Architecture, float]
DRAWS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="shufflenet_v2_quick")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--networks", type=int, default=20, help="whole networks for the calibration")
    parser.add_argument("--unseen", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--min-ms", type=float, default=20.0)
    parser.add_argument("--quiet-timeout-s", type=float, default=20.0)
    parser.add_argument("--later", action="store_true", help="time the unseen networks once more at the end")
    args = parser.parse_args()
    lines = Lines()
    with TemporaryDirectory() as folder:
        measuring = {
            "backend": args.backend,
            "batch": args.batch,
            "networks": args.networks + args.unseen,
            "rounds": args.rounds,
            "min_ms": args.min_ms,
            "quiet_timeout_s": args.quiet_timeout_s,
            "db": str(Path(folder) / "latency.sqlite"),
        }
        config = parse_config(preset_text("quick"), {"space": args.space, "profile": measuring}, "the benchmark")
        prepare_torch(config)
        space = load_space(config.space)
        before = load()
        lines.say(f"profile {space.name}, batch {args.batch}, {args.networks + args.unseen} networks; load {before}")
        table = profile(config, space, lines).table
        whole = latency_model(space, table)
        model, unseen = split(whole, args.networks, seed=1)
        columns = [report(model, unseen)]
        if args.later:
            lines.say(f"time the {len(unseen)} unseen networks again; load {load()}")
            columns.append(report(model, timed_again(config, space, list(unseen), Path(folder), lines)))
    target = table.target
    print(f"{space.name}, batch {args.batch}, {target.device_model}, {target.backend} {target.backend_version}")
    print(f"load: {before} before, {load()} after")
    print(f"calibration: {model.calibration}")
    print(f"{len(unseen)} unseen networks; {len(whole.unstable)} of {len(table.records)} records unstable")
    for name, *values in zip(columns[0], *(column.values() for column in columns), strict=True):
        print(f"{name:28}{'   '.join(values)}")
    shares = [holds(*split(whole, args.networks, seed)) for seed in range(DRAWS)]
    low, high = np.quantile(shares, [0.05, 0.95])
    print(f"{f'the same over {DRAWS} draws':28}{np.mean(shares):.0%}; 90% of draws from {low:.0%} to {high:.0%}")
    lines.say("done")


def split(whole: LatencyModel, networks: int, seed: int) -> tuple[LatencyModel, Latencies]:
    """A model calibrated on a random part of the networks, and the remaining networks."""
    seen = set(Random(seed).sample(sorted(whole.measured_ms), networks))
    known, unseen = (
        {arch: ms for arch, ms in whole.measured_ms.items() if (arch in seen) is inside} for inside in (True, False)
    )
    return replace(whole, measured_ms=known), unseen


def holds(model: LatencyModel, unseen: Latencies) -> float:
    """The share of networks within the model's upper bound."""
    return float(np.mean([ms <= model.upper.cost(arch) for arch, ms in unseen.items()]))


def report(model: LatencyModel, unseen: Latencies) -> dict[str, str]:
    """Compare predictions with the measurements of unseen networks."""
    measured = np.array(list(unseen.values()))
    predicted, plain = (np.array([cost.cost(arch) for arch in unseen]) for cost in (model.predicted, model.uncorrected))
    constant = np.full_like(measured, np.median(list(model.measured_ms.values())))
    off = np.abs(predicted / measured - 1)
    error, knowing_nothing = mape(predicted, measured), mape(constant, measured)
    return {
        "measured": f"{measured.min():.3f} to {measured.max():.3f} ms",
        "MAPE": f"{error:.2%} (plain sum {mape(plain, measured):.2%})",
        "bias": f"{(predicted / measured - 1).mean():+.2%}",
        "within 5 %, 10 %": f"{(off <= 0.05).mean():.0%}, {(off <= 0.10).mean():.0%}; worst {off.max():.1%}",
        "Kendall's tau": f"{kendall_tau(predicted, measured):.3f}",
        "skill (constant predictor)": f"{error / knowing_nothing:.2f} ({knowing_nothing:.2%})",
        "margin, coverage": f"{model.calibration.margin:.2%}, {holds(model, unseen):.0%} (target 95%)",
    }


def timed_again(
    config: Config, space: SearchSpace, archs: Sequence[Architecture], folder: Path, lines: Lines
) -> Latencies:
    files = {}
    for number, arch in enumerate(archs):
        files[str(arch)] = folder / f"{number}.onnx"
        export_for_timing(Network(space, arch, STANDALONE), space.input_shape, files[str(arch)])
    target, plan = require_target(config.profile), replace(measurement_plan(config), seed=config.seed + 1)
    results = summarize_files(files, target, plan, config.profile.db, lines, "time again")
    return {arch: results[str(arch)].latency_ms for arch in archs}


if __name__ == "__main__":
    main()
