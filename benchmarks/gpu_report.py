"""Run the GPU tests and short benchmarks, each with a time limit, and write one JSON and one text report.

    python benchmarks/gpu_report.py [WORD ...] [--seconds N] [--folder FOLDER]

`make gpu` runs this (docs/gpu.md). An item that cannot run says why, and the rest goes on. Without a GPU the items try
their code with small sizes on the CPU. The reports are benchmarks/results/gpu__CARD-torch-VERSION.json and .txt.
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
TOTAL_S = 570.0  # of the whole report; `make gpu` promises ten minutes
VERSIONS = ("torch", "torchvision", "onnxruntime-gpu", "onnxruntime", "tensorrt", "tensorrt-rtx-cu13", "cuda-bindings")
RAN, FAILED, CANNOT_RUN, OUT_OF_TIME = "ran", "failed", "cannot run", "out of time"


@dataclass(frozen=True)
class Item:
    """A test or a benchmark: the words after `python`, and its time limit in seconds."""

    name: str
    words: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Result:
    """How an item ended.

    Args:
        reason: why it did not run to its end; empty if it did.
        results: its answer.
    """

    name: str
    outcome: str
    seconds: float
    reason: str = ""
    results: dict[str, object] = field(default_factory=dict)


TESTS = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider")
ITEMS = (
    Item("NVML, clocks, events and graphs: cuda-python", ("gpu_access.py", "cuda-python"), 40),
    Item("NVML, clocks, events and graphs: pycuda", ("gpu_access.py", "pycuda"), 40),
    Item("tests for GPUs", TESTS, 90),
    Item("supernet step, evaluation and memory", ("gpu_supernet.py",), 80),
    Item("images per second beside torchvision", ("gpu_torchvision.py",), 60),
    Item("determinism of training", ("gpu_determinism.py",), 60),
    Item("TensorRT", ("gpu_engines.py", "tensorrt"), 60),
    Item("TensorRT-RTX", ("gpu_engines.py", "tensorrt_rtx"), 60),
    Item("ONNX Runtime: the quick preset's space, all commands", ("gpu_commands.py", "quick"), 150),
    Item("ONNX Runtime: the paper's space, all commands", ("gpu_commands.py", "paper"), 180),
    Item("supernet step, compiled", ("gpu_supernet.py", "--compile"), 150),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="run only items whose name contains one of them")
    parser.add_argument("--seconds", type=float, default=TOTAL_S, help="time limit of the whole report")
    parser.add_argument("--folder", type=Path, default=HERE / "results", help="where the two files are written")
    args = parser.parse_args()
    deadline = time.monotonic() + args.seconds
    chosen = [item for item in ITEMS if not args.words or any(word in item.name for word in args.words)]
    results = []
    for item in chosen:
        print(f"== {item.name}", flush=True)
        results.append(run(item, deadline - time.monotonic()))
        print(text_of(results[-1]), flush=True)
    write_reports(args.folder, results, args.seconds - (deadline - time.monotonic()))


def run(item: Item, left_s: float) -> Result:
    """Run an item in a separate process group, and end all of it at its time limit."""
    if item.words == TESTS and (missing := [name for name in ("pytest", "hypothesis") if find_spec(name) is None]):
        return Result(item.name, CANNOT_RUN, 0, f"{' and '.join(missing)} not installed")
    limit_s = min(item.seconds, left_s)
    if limit_s < 1:
        return Result(item.name, OUT_OF_TIME, 0, "the time limit of the report was reached before it")
    first = item.words[0]
    words = [sys.executable, *(item.words if first == "-m" else (str(HERE / first), *item.words[1:]))]
    if item.words == TESTS:
        words += gpu_tests()
    began = time.monotonic()
    with TemporaryDirectory(prefix="nastool-gpu-") as folder:
        output = Path(folder) / "output"
        with output.open("w") as stream:
            process = subprocess.Popen(
                words, cwd=HERE.parent, env=_environment(), stdout=stream, stderr=stream, start_new_session=True
            )
            try:
                process.wait(limit_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return Result(item.name, OUT_OF_TIME, round(limit_s, 1), f"it ran for more than {limit_s:.0f} s")
        return _ended(item, process.returncode, round(time.monotonic() - began, 1), output.read_text(errors="replace"))


def gpu_tests() -> list[str]:
    """The files with tests for GPUs: other tests need packages that the machine may not have."""
    files = sorted((HERE.parent / "tests").rglob("test_*.py"))
    return [str(file) for file in files if "pytest.mark.gpu" in file.read_text()]


def _ended(item: Item, code: int, seconds: float, output: str) -> Result:
    lines = output.strip().splitlines() or [""]
    if item.words[:2] == ("-m", "pytest"):
        if code in (0, 5):  # 5: no test was selected
            skipped = Counter(
                re.findall(r"SKIPPED \[\d+\] \S+ (.*)", output)
            )  # reasons, with the places that have them
            return Result(item.name, RAN, seconds, results={"summary": lines[-1], "skipped": dict(skipped)})
        return Result(item.name, FAILED, seconds, "\n".join(lines[-15:]))
    if code:
        return Result(item.name, FAILED, seconds, "\n".join(lines[-8:]))
    try:
        results = json.loads(lines[-1])
    except ValueError:
        return Result(item.name, FAILED, seconds, f"it gave no answer: {lines[-1]}")
    if reason := results.get("cannot_run"):
        return Result(item.name, CANNOT_RUN, seconds, str(reason))
    return Result(item.name, RAN, seconds, results=results)


def _environment() -> dict[str, str]:
    paths = [str(HERE.parent), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTEST_ADDOPTS": "-rs"}


def write_reports(folder: Path, results: Sequence[Result], seconds: float) -> None:
    """Write the two files, named after the card."""
    folder.mkdir(parents=True, exist_ok=True)
    machine, versions = card(), {name: found for name in VERSIONS if (found := _version(name))}
    title = f"{machine}, torch {versions.get('torch', 'absent')}, Python {platform.python_version()}"
    name = re.sub(r"[^a-z0-9.]+", "-", f"{machine} torch {versions.get('torch', 'absent')}".lower())
    stem = folder / f"gpu__{name}"
    document = {
        "schema_version": 1,
        "machine": machine,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "seconds": round(seconds, 1),
        "items": [asdict(result) for result in results],
    }
    Path(f"{stem}.json").write_text(json.dumps(document, indent=1) + "\n")
    text = "\n\n".join(f"== {result.name}\n{text_of(result)}" for result in results)
    listed = ", ".join(f"{name} {found}" for name, found in versions.items())
    Path(f"{stem}.txt").write_text(f"{title}\n{listed}\n{seconds:.0f} s in all\n\n{text}\n")
    print(f"\n{stem}.json and .txt, {seconds:.0f} s")


def card() -> str:
    """The name of the GPU with its driver; without one, that and the CPU."""
    from exporters.cuda import nvml
    from exporters.devices.attached import attached

    gpus = nvml.gpus()
    return f"{gpus[0].name}, driver {gpus[0].driver}" if gpus else f"no GPU, dry run on {attached()[0].model}"


def text_of(result: Result) -> str:
    """`ran in 12 s` and a line for each result, or the reason why not."""
    lines = [f"{result.outcome}, {result.seconds:g} s{f': {result.reason}' if result.reason else ''}"]
    lines += [f"  {name}: {json.dumps(value)}" for name, value in result.results.items()]
    return "\n".join(lines)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
