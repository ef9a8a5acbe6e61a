"""A remote device against this machine: how long a profile takes, and how often the gate is wrong.

    python benchmarks/remote.py profile
    python benchmarks/remote.py check

The device is this machine, by ssh to 127.0.0.1: the benchmark starts its own server (Debian: openssh-server), and
an interpreter with numpy and onnxruntime alone. --device ADDRESS names another one.

`profile` measures all files of a profile of the quick space, here and there in turn, from the connection to the last
round. The files are exported once, as both profiles would; the ratio of wall times is given with and without that time.

`check` compares a file with itself, here and there in turn: every failure is a false alarm.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from lines import load
from loopback_ssh import environment, missing, ssh_device

from exporters.graph.model import Model
from toolchain.check.gate import check
from toolchain.check.outcome import Outcome
from toolchain.check.requirements import CheckedFile
from toolchain.config import parse_config
from toolchain.measuring.export_for_timing import export_for_timing
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import summarize_files
from toolchain.measuring.target import ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network
from toolchain.profiling.profiler import export_files
from toolchain.progress import Quiet
from toolchain.spaces import load_space
from toolchain.training.accuracy_interval import wilson

SPACE = "shufflenet_v2_quick"
HERE = "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("profile", "check"))
    parser.add_argument("--device", help="an address; default: this machine by ssh")
    parser.add_argument("--repeats", type=int, default=6, help="profiles on each device")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of a profile")
    parser.add_argument("--checks", type=int, default=24, help="checks on each device")
    parser.add_argument("--seconds", type=float, default=4.0, help="time limit of a check")
    options = parser.parse_args()
    print(f"load before: {load()}")
    with TemporaryDirectory() as folder, device_of(options.device, Path(folder)) as device:
        if options.what == "profile":
            compare_profiles(device, options.repeats, options.rounds, Path(folder))
        else:
            count_alarms(device, options.checks, options.seconds, Path(folder))
    print(f"load after: {load()}")


@contextmanager
def device_of(address: str | None, folder: Path) -> Iterator[str]:
    """The address of the device; of a server that is started here and stopped at the end, if none is given."""
    if address is not None:
        yield address
        return
    if reason := missing():
        raise SystemExit(f"{reason}. Or name a device with --device")
    (place := folder / "ssh").mkdir()
    with ssh_device(place, environment(place / "environment")) as device:
        os.environ["NASTOOL_SSH"] = device.ssh
        yield device.address


def compare_profiles(device: str, repeats: int, rounds: int, folder: Path) -> None:
    """Print the wall times of profiles on both devices, their ratio, and the ratio of all latencies."""
    plan = MeasurementPlan(rounds=rounds, min_ms=40.0, quiet_timeout_s=0.0, networks=30)
    began = time.monotonic()
    (exported := folder / "files").mkdir()
    files = export_files(load_space(SPACE), [ready_target(TargetSpec())], plan, exported, Quiet())
    export_s = time.monotonic() - began
    print(f"export of {len(files)} files: {export_s:.1f} s")
    seconds: dict[str, list[float]] = {HERE: [], device: []}
    latencies: dict[str, dict[str, float]] = {HERE: {}, device: {}}
    for number in range(repeats):
        order = (HERE, device) if number % 2 == 0 else (device, HERE)  # neither is always the first
        for name in order:
            began = time.monotonic()
            for key, latency_ms in measure(files, name, plan, folder).items():
                latencies[name][key] = min(latency_ms, latencies[name].get(key, latency_ms))
            seconds[name].append(time.monotonic() - began)
    for name, values in seconds.items():
        print(f"{name}: {', '.join(f'{value:.1f}' for value in values)} s")
    pairs = list(zip(seconds[device], seconds[HERE], strict=True))
    say_ratios("ratio of wall times, without the export", [there / here for there, here in pairs])
    say_ratios(
        "ratio of wall times, with the export", [(there + export_s) / (here + export_s) for there, here in pairs]
    )
    say_ratios("ratio of latencies", [latencies[device][key] / own for key, own in latencies[HERE].items()])


def say_ratios(what: str, ratios: list[float]) -> None:
    """Print the median and the range of ratios."""
    print(f"{what} ({len(ratios)}): median {median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


def measure(files: dict[str, Model], device: str, plan: MeasurementPlan, folder: Path) -> dict[str, float]:
    """The latency of each file, as a profile measures it."""
    summaries = summarize_files(files, ready_target(TargetSpec(device)), plan, f"{folder}/latency.sqlite", Quiet())
    return {key: summary.latency_ms for key, summary in summaries.items()}


def count_alarms(device: str, checks: int, seconds: float, folder: Path) -> None:
    """Print the verdicts of a file that is compared with itself, and the rate of failures with its interval."""
    space, file = load_space(SPACE), folder / "network.onnx"
    export_for_timing(Network(space, space.draw(Random(0)), STANDALONE), space.input_shape, file)
    verdicts: dict[str, Counter[str]] = {HERE: Counter(), device: Counter()}
    for seed in range(checks):
        for name, counted in verdicts.items():
            settings = {"profile": {"device": name, "batch": 8}, "check": {"max_seconds": seconds}, "seed": seed}
            config = parse_config("", settings, "benchmark")
            counted[check(config, CheckedFile(file, None), file, Quiet()).outcome.value] += 1
    for name, counted in verdicts.items():
        rate = counted[Outcome.FAIL.value] / checks
        low, high = wilson(rate, checks)
        print(f"{name}: {dict(counted)}: {rate:.1%} false alarms, {low:.1%} to {high:.1%} at 95 %")


if __name__ == "__main__":
    main()
