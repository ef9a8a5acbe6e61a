"""A real data set for the tiny space, several real processes, and a target that nothing was measured on."""

import hashlib
import json
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from latency_db.target import Target
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import Data, load_data

InRanks = Callable[..., list[Any]]
ROOT = Path(__file__).parents[2]  # the modules of tests are found from there
# Imports torch once for all tests, and then forks a process for each rank: importing it takes seconds. This process
# itself computes nothing, since torch cannot be forked once it has trained.
RANKS = """
import json, os, sys
import torch
from toolchain.parallel.collectives import joined
from toolchain.parallel.ranks import exit_rank

torch.set_num_threads(1)

def work_as(rank, folder):
    output = os.open(f"{folder}/output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    try:
        with joined(torch.device("cpu")):
            work, arguments = torch.load(f"{folder}/given.pt", weights_only=False)
            torch.save(work(*arguments), f"{folder}/rank{rank}.pt")
        exit_rank()  # as a command does; a single rank returns
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)

for line in sys.stdin:
    folder, world, variables = json.loads(line)
    os.environ.update(variables)
    torch.load(f"{folder}/given.pt", weights_only=False)  # imports the modules of the test
    ranks = [os.fork() or work_as(rank, folder) for rank in range(world)]
    print(max(os.waitpid(rank, 0)[1] for rank in ranks), flush=True)
"""
MAX_WAIT_S = 240.0


@pytest.fixture(scope="session")
def digits(tiny_space: SearchSpace) -> Data:
    return load_data("digits", tiny_space, holdout_per_class=20, seed=0)


@pytest.fixture(scope="session")
def rank_server() -> Iterator["subprocess.Popen[str]"]:
    """A process that runs `RANKS`."""
    words = [sys.executable, "-c", RANKS]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        yield server
        assert server.stdin is not None
        server.stdin.close()


@pytest.fixture
def in_ranks(tmp_path: Path, rank_server: "subprocess.Popen[str]") -> InRanks:
    """`in_ranks(work, world, *arguments)` -> what `work(*arguments)` gave in each rank, as a list."""
    return partial(run_in_ranks, tmp_path, rank_server)


def run_in_ranks(
    folder: Path, server: "subprocess.Popen[str]", work: Callable[..., Any], world: int, *arguments: Any
) -> list[Any]:
    """What `work(*arguments)` gave in each rank."""
    assert server.stdin is not None
    assert server.stdout is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.save((work, arguments), folder / "given.pt")
    variables = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1"}
    request = str(folder), world, {name: str(value) for name, value in variables.items()}
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    if not select.select([server.stdout], [], [], MAX_WAIT_S)[0]:
        server.kill()
        pytest.fail(f"{world} ranks have not ended in {MAX_WAIT_S:g} s")
    assert server.stdout.readline() == "0\n", (folder / "output.txt").read_text()
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(world)]


@pytest.fixture(scope="session")
def target() -> Target:
    numbers = {"device_cores", "batch", "threads", "protocol_version"}
    blank = {field.name: 1 if field.name in numbers else field.name for field in fields(Target)}
    return Target.from_dict(blank | {"device_kind": "cpu", "batch": 8, "device_model": "Some CPU", "backend": "fake"})


@pytest.fixture(scope="session")
def write_manifest(target: Target) -> Callable[..., None]:
    """`write_manifest(folder)`: a complete manifest.json for the files in `folder`, as an export leaves it."""

    def write(folder: Path, **changes: Any) -> None:
        parity = {"relative_error": 1e-6, "top1_agreement": 1.0, "images": 4, "batches": [1, 2]}
        files = {
            path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
            for path in sorted(folder.iterdir())
            if path.name != "manifest.json"
        }
        content = {
            "schema_version": 1,
            "space": "tiny",
            "architecture": ["choice_3"],
            "costs": {"macs": 1, "params": 1, "bitops": 1, "weight_bits": 1, "latency_ms": None},
            "classes": ["0", "1"],
            "preprocessing": {  # as early files of 0.1.0 have it
                "size_px": 8,
                "scale": "pixel / 255",
                "mean": [0.5],
                "std": [0.5],
                "layout": "NCHW float32",
            },
            "run": "r",
            "training": {"steps": 1},
            "test_accuracy": 0.5,
            "holdout_accuracy": 0.5,
            "limits": {"latency_ms": 100.0},
            "measured_anchor_ms": None,
            "measured_latency_ms": 1.0,
            "estimate": False,
            "target": target.as_dict(),
            "versions": {"python": "3.11", "platform": "Linux", "packages": {}},
            "parity": parity,
            "models": {},
            "engines": {},
            "files": files,
        }
        (folder / "manifest.json").write_text(json.dumps(content | changes))

    return write
