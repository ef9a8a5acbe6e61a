"""Two processes score what one scores, and leave the same journal."""

import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.spaces.core import SearchSpace

SEARCH = """
import sys
from pathlib import Path

import torch

from toolchain.costs.core import Budget
from toolchain.counting.feasible import FeasibleSet
from toolchain.parallel.collectives import joined
from toolchain.nets.network import initialize
from toolchain.nets.supernet import Supernet
from toolchain.progress import Quiet
from toolchain.parallel.ranks import rank
from toolchain.search.distributed_evaluator import DistributedEvaluator
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.generations import Scoring, run_strategy
from toolchain.search.journal import open_journal
from toolchain.search.race import Race
from toolchain.search.scores import CandidateLine
from toolchain.search.strategies import Evolution
from toolchain.spaces import load_space
from toolchain.training.data import load_data

space_name, folder = sys.argv[1], Path(sys.argv[2])
torch.set_num_threads(1)
space = load_space(space_name)
supernet = Supernet(space)
initialize(supernet, torch.Generator().manual_seed(0))
data = load_data("digits", space, 20, 0)
evolution = Evolution(FeasibleSet(space, Budget(())), population=6, top_k=3, mutation=0.2)
with joined(torch.device("cpu")):
    for name, race, race_top in (("plain", None, None), ("raced", Race(0.4), 3)):
        evaluate = DistributedEvaluator(Evaluator(supernet, data, ScoringSettings(128, 64, seed=0), race))
        journal = open_journal(folder / f"{name}.jsonl", {"seed": 0}, CandidateLine)
        scored = run_strategy(evolution, range(3), Scoring(0, journal, evaluate, Quiet(), race_top))
        (folder / f"{name}_{rank()}").write_text(repr(scored))
"""


def search(folder: Path, space: SearchSpace, world: int) -> None:
    script = folder / "search.py"
    script.write_text(SEARCH)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
    subprocess.run(
        [sys.executable, *torchrun, script, space.name, folder], check=True, timeout=240, stderr=subprocess.DEVNULL
    )


@pytest.mark.long
def test_one_process_and_two_leave_the_same_journal(tiny_space: SearchSpace, tmp_path: Path) -> None:
    """Also where two began and one goes on."""
    alone, together, mixed = (tmp_path / name for name in ("alone", "together", "mixed"))
    for folder in (alone, together, mixed):
        folder.mkdir()
    search(together, tiny_space, 2)
    for name in ("plain", "raced"):
        whole = (together / f"{name}.jsonl").read_bytes()
        (mixed / f"{name}.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:9]))
    search(alone, tiny_space, 1)
    search(mixed, tiny_space, 1)
    for name in ("plain", "raced"):
        journal = (alone / f"{name}.jsonl").read_bytes()
        assert len(journal.splitlines()) == 1 + 3 * 6
        assert (b'"images"' in journal) == (name == "raced")
        assert (together / f"{name}.jsonl").read_bytes() == (mixed / f"{name}.jsonl").read_bytes() == journal
        result = (alone / f"{name}_0").read_text()
        assert (together / f"{name}_0").read_text() == (together / f"{name}_1").read_text() == result
