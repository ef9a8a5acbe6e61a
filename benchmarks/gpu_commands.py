"""Item of the GPU report: profile, train, search, retrain, export and check through ONNX Runtime's CUDA provider.

    python benchmarks/gpu_commands.py quick
    python benchmarks/gpu_commands.py paper

`quick` is the space of the quick preset, `paper` the paper's space with 224-pixel images at batch 32, both on
scikit-learn's digits, with as little training as the commands allow. The limit is the mean latency of the
measured networks.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from gpu_items import answer, cannot, has_gpu

from exporters.errors import ExporterError
from toolchain.measuring.target import ready_target
from toolchain.measuring.target_spec import TargetSpec

SPACES = {
    "quick": "shufflenet_v2_quick:stage_widths=32-64,stage_repeats=2-2,ops=choice_3-choice_7,widths=0.5-1.0-2.0-4.0",
    "paper": "shufflenet_v2:classes=10,in_channels=1",
}
TRAINING = {
    "quick": ("changes = { epochs = 1 }", "changes = { epochs = 4 }"),
    "paper": ("changes = { epochs = 0.2, batch = 32 }", "changes = { epochs = 1, batch = 32 }"),
}
SETTINGS = """
run = "gpu"
space = "{space}"
data = "digits"
holdout_per_class = 20
[profile]
device = "{device}"
backend = "onnxruntime"
batch = 32
rounds = 3
min_ms = 10.0
networks = 6
quiet_timeout_s = 2.0
[train]
recipe = "quick"
{train}
[search]
population = 8
generations = 2
top_k = 3
bn_images = 128
batch = 64
[retrain]
recipe = "quick"
{retrain}
[check]
max_seconds = 15.0
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", choices=sorted(SPACES))
    name = parser.parse_args().space
    if name == "paper" and not has_gpu():
        cannot("the paper's space takes too long on a CPU, and torch sees no GPU here")
    device = "gpu0" if has_gpu() else "cpu"
    try:
        ready_target(TargetSpec(device=device, backend="onnxruntime"))
    except ExporterError as problem:
        cannot(str(problem))
    train, retrain = TRAINING[name]
    settings = SETTINGS.format(space=SPACES[name], device=device, train=train, retrain=retrain)
    with TemporaryDirectory(prefix="nastool-gpu-") as folder:
        (Path(folder) / "nastool.toml").write_text(settings)
        answer({"device": device, **run_all(Path(folder))})


def run_all(folder: Path) -> dict[str, object]:
    """The results of all commands, one after the other, with their seconds."""
    results: dict[str, object] = {}

    def run(command: str, *flags: str) -> dict[str, object]:
        began = time.perf_counter()
        document = nastool(folder, command, *flags)
        results[f"{command}_s"] = round(time.perf_counter() - began, 1)
        return document

    profiled = run("profile")
    results["calibration"] = profiled["calibration"]
    networks = [network["latency_ms"] for network in profiled["networks"]]  # type: ignore[attr-defined]
    limit_ms = sum(networks) / len(networks)
    run("train")
    winner = run("search", "--latency", f"{limit_ms}ms", "--no-random-search")
    results["limit_ms"], results["winner_ms"] = limit_ms, winner["measured_latency_ms"]
    results["winner_upper_ms"] = winner["measured_upper_ms"]
    run("retrain")
    exported = run("export")
    results["exported_ms"], results["parity"] = exported["measured_latency_ms"], exported["parity"]
    checked = run("check", "--on-inconclusive", "pass")
    results["check"] = checked["verdict"]
    return results


def nastool(folder: Path, command: str, *flags: str) -> dict[str, object]:
    """The JSON answer of a command."""
    words = [sys.executable, "-m", "cli.main", command, *flags, "--json"]
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if ended.returncode:
        last = "\n".join(ended.stderr.strip().splitlines()[-3:])
        raise SystemExit(f"nastool {command} ended with exit code {ended.returncode}: {last}")
    document: dict[str, object] = json.loads(ended.stdout)
    return document


if __name__ == "__main__":
    main()
