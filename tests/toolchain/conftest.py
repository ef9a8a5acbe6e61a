"""A real data set for the tiny space, several real processes, and a stack that nothing was measured on."""

import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from latency_db.context import Context
from toolchain.distributed import joined
from toolchain.spaces.core import SearchSpace
from toolchain.training.data import Data, load_data

InRanks = Callable[..., list[Any]]


@pytest.fixture(scope="session")
def digits(tiny_space: SearchSpace) -> Data:
    return load_data("digits", tiny_space, holdout_per_class=20, seed=0)


@pytest.fixture
def in_ranks(tmp_path: Path) -> InRanks:
    """`in_ranks(work, world, *arguments)` -> what `work(*arguments)` gave in each rank, as a list."""
    return partial(run_in_ranks, tmp_path)


def run_in_ranks(folder: Path, work: Callable[..., Any], world: int, *arguments: Any) -> list[Any]:
    """What `work(*arguments)` gave in each rank. They are forks of this process, so that torch is not loaded anew."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sys.stdout.flush()
    children = []
    for rank in range(world):
        if not (child := os.fork()):
            told = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": world,
                "LOCAL_WORLD_SIZE": world,
                "MASTER_PORT": port,
            }
            os.environ.update({name: str(value) for name, value in told.items()}, MASTER_ADDR="127.0.0.1")
            _be_a_rank(work, folder / f"rank{rank}.pt", arguments)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * world
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(world)]


def _be_a_rank(work: Callable[..., Any], answer: Path, arguments: tuple[Any, ...]) -> None:
    """Never returns: a fork must not go on with the test session."""
    code = 1
    try:
        torch.set_num_threads(1)
        with joined(torch.device("cpu")):
            torch.save(work(*arguments), answer)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@pytest.fixture(scope="session")
def context() -> Context:
    blank = {field.name: 1 if field.type is int else field.name for field in fields(Context)}
    return Context.from_dict(blank | {"device_kind": "cpu", "batch": 8, "device_model": "Some CPU", "backend": "fake"})
