"""Run all benchmarks one after the other, and store the output of each in benchmarks/results/.

    python benchmarks/all.py                  # about two hours on two idle cores
    python benchmarks/all.py latency trie     # only benchmarks whose name contains one of the words

A file is named after the benchmark, the machine and the versions, so results of several machines and versions are
kept. Do not use the machine meanwhile; each file states its load.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psutil

HERE = Path(__file__).parent
WIDTHS = "0.2-0.4-0.6-0.8-1.0-1.2-1.4-1.6"
COMMANDS = {
    "latency_quick": ("latency_model.py", "--space", "shufflenet_v2_quick", "--batch", "32"),
    "latency_paper": ("latency_model.py", "--space", "shufflenet_v2", "--batch", "8"),
    "budgets_hold": ("budgets_hold.py",),
    "widths": ("widths.py",),
    "gate": ("gate.py",),
    "export_speed_1": ("export_speed.py", "--batch", "1"),
    "export_speed_8": ("export_speed.py", "--batch", "8"),
    "int8_speed": ("int8_speed.py",),
    "supernet_step_quick": ("supernet_step.py",),
    "supernet_step_paper": ("supernet_step.py", "--space", "shufflenet_v2", "--batch", "16", "--steps", "12"),
    "supernet_step_widths": ("supernet_step.py", "--space", f"shufflenet_v2_quick:widths={WIDTHS},round_to=1"),
    "step_kinds": ("step_kinds.py",),
    "table7": ("table7.py",),
    "trie_quick": ("trie.py",),
    "trie_paper": (
        *("trie.py", "--space", "shufflenet_v2", "--bn-images", "64", "--images", "64", "--batch", "32"),
        *("--generations", "5,19"),
    ),
    "threads": ("threads.py",),
    "algorithm1": ("algorithm1.py",),
    "loader": ("loader.py",),
    "loader_jitter": ("loader.py", "--jitter"),
    "ranks_quick": ("ranks.py",),
    "ranks_64px": ("ranks.py", "--space", "shufflenet_v2:size_px=64", "--batch", "32", "--steps", "6"),
    "rank": ("rank.py",),
    "weight_average": ("weight_average.py",),
    "feasible": ("feasible.py", "10000"),
    "evolution_vs_random": ("evolution_vs_random.py", "--seeds", "5"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="run only benchmarks whose name contains one of them")
    words = parser.parse_args().words
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    for name, command in COMMANDS.items():
        if words and not any(word in name for word in words):
            continue
        print(f"== {name}: python benchmarks/{' '.join(command)}", flush=True)
        busy = f"load average before: {os.getloadavg()[0]:.1f}"
        began = time.perf_counter()
        ended = subprocess.run([sys.executable, HERE / command[0], *command[1:]], stdout=subprocess.PIPE, text=True)
        took = f"{time.perf_counter() - began:.0f} s, load average after: {os.getloadavg()[0]:.1f}"
        print(ended.stdout, flush=True)
        text = f"$ python benchmarks/{' '.join(command)}\n{ended.stdout}\n{_machine()}; {busy}; {took}\n"
        if ended.returncode:
            print(f"{name} ended with exit code {ended.returncode}; nothing was stored", flush=True)
            continue
        (folder / f"{name}__{_file_name(_machine())}.txt").write_text(text)


def _machine() -> str:
    """`Intel Xeon Processor, 2 cores, torch 2.14.1, onnxruntime 1.31.1`"""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip().replace("(R)", "")
            break
    import onnxruntime

    return f"{cpu}, {psutil.cpu_count()} cores, torch {version('torch')}, onnxruntime {onnxruntime.__version__}"


def _file_name(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower())


if __name__ == "__main__":
    main()
