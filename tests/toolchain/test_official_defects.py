"""What is broken in the paper's own code (megvii-model/SinglePathOneShot, 36eed6c), by reading, works here."""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.graph.interface import INPUT, OUTPUT
from exporters.graph.to_onnx import export_onnx
from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost
from toolchain.counting.feasible import FeasibleSet
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, builder_of, initialize
from toolchain.nets.supernet import Supernet
from toolchain.progress import Quiet
from toolchain.search.evaluate import Evaluator, ScoringSettings
from toolchain.search.generations import Scoring, run_strategy
from toolchain.search.journal import Journal
from toolchain.search.scores import CandidateLine, Score
from toolchain.search.strategies import Evolution
from toolchain.spaces import load_space
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.tracking.event_file import EventFile
from toolchain.training.data import Data, load_data
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.passes import Pass, Passes
from toolchain.training.recipe import Recipe


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    "name", ["checkpoint-latest.pth.tar", "checkpoint-000004.pth.tar", "latest", "model v2 (1).pt"]
)
def test_1_training_resumes_from_a_checkpoint_of_any_name(
    name: str, tiny_space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    """There: names are sorted, `checkpoint-latest` comes last, holds no number, and any restart is an IndexError."""
    steps_taken: list[int] = []

    def run(kill_at: int | None) -> None:
        net = Network(tiny_space, tiny_space.all_same("choice_3"), STANDALONE)
        initialize(net, torch.Generator().manual_seed(0))

        def plan(step: int) -> Passes:
            if step == kill_at:
                raise Killed
            steps_taken.append(step)
            return Passes([Pass(net)])

        recipe = Recipe(epochs=6 * 8 / len(digits.fit), batch=8, lr=0.1)
        settings = TrainingSettings(
            "train", tmp_path / name, {}, partial(EventFile, tmp_path / "tb"), 0.0, workers=0, seed=0
        )
        train(net, plan, digits, recipe, settings, Quiet())

    (tmp_path / "checkpoint-latest.pth.tar").touch()  # beside the one that is meant
    (tmp_path / "checkpoint-000009.pth.tar").touch()
    (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(Killed):
        run(kill_at=4)
    run(kill_at=None)
    assert steps_taken == [0, 1, 2, 3, 4, 5]


def test_2_the_journal_has_each_generation_as_soon_as_it_is_scored(paper_space: SearchSpace, tmp_path: Path) -> None:
    """There: the search's checkpoint is written once, after the last generation."""
    path = tmp_path / "candidates.jsonl"
    lines_on_disk = []

    class Scorer:
        def many(self, archs: Sequence[Architecture], reference: object, advance: object) -> list[Score]:
            lines_on_disk.append(path.read_bytes().count(b"\n") - 1)  # without the first, which is no candidate
            return [Score(0.5)] * len(archs)

    run_strategy(
        evolution(paper_space, share=0.5), range(3), Scoring(0, Journal(path, {}, CandidateLine), Scorer(), Quiet())
    )
    assert lines_on_disk == [0, 50, 100]


def test_3_all_candidates_are_scored_on_the_same_images(tiny_space: SearchSpace, digits: Data) -> None:
    """There: an iterator goes on through class-ordered images, so that candidates in turn see other classes."""
    supernet = Supernet(tiny_space)
    initialize(supernet, torch.Generator().manual_seed(0))
    seen: list[str] = []

    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Conv2d) and module.in_channels == tiny_space.in_channels:  # the first layer
            seen.append(hashlib.sha256(inputs[0].contiguous().numpy().tobytes()).hexdigest())

    handle = nn.modules.module.register_module_forward_pre_hook(look)
    try:
        evaluate = Evaluator(supernet, digits, ScoringSettings(bn_images=128, batch=64, seed=0))
        by_candidate = []
        for seed in range(3):
            seen.clear()
            evaluate(tiny_space.draw(Random(seed)))
            by_candidate.append(tuple(seen))
    finally:
        handle.remove()
    assert len(set(by_candidate)) == 1
    assert len(by_candidate[0]) == 2 + 4  # 128 images to recalibrate, 200 held out, in batches of 64
    assert len(set(by_candidate[0])) == 6


def test_4_the_holdout_is_cut_from_the_training_images(tmp_path: Path) -> None:
    """There: the search reads `data/val`, which is ImageNet's test split."""
    for part, grays in (("train", range(0, 60, 3)), ("val", range(100, 130, 3))):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for gray in grays:  # each image has a gray of its own, so that it can be told where it comes from
                Image.new("L", (20, 20), gray + (name == "b")).save(tmp_path / part / name / f"{gray}.png")
    space = load_space("shufflenet_v2_quick:size_px=16,classes=2")
    data = load_data(f"folder:{tmp_path}", space, 5, seed=0)
    held, fitted = (set(data.train.fetch(part).unique().tolist()) for part in (data.holdout, data.fit))
    assert len(held) == 10
    assert max(held | fitted) < 100 <= min(data.test.fetch(range(20)).unique().tolist())
    assert held.isdisjoint(fitted)


@pytest.mark.parametrize("stride", [1, 2])
def test_5_an_exported_shuffle_runs_at_any_batch(stride: int, tiny_space: SearchSpace, tmp_path: Path) -> None:
    """There: the shuffle reads the batch size off its input, and a file exported at batch 1 fails at 2 and 4."""
    spec = next(block for block in tiny_space.blocks if block.stride == stride)
    block = builder_of(tiny_space).build_block(spec, spec.choices[3], STANDALONE).eval()
    initialize(block, torch.Generator().manual_seed(0))
    shape = (spec.c_in, spec.size_px, spec.size_px)
    export_onnx(block, torch.zeros(1, *shape), tmp_path / "block.onnx")
    compiled = Backend().compile(tmp_path / "block.onnx", CompileSpec(batch=1))
    for batch in (1, 2, 4):
        x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
        outputs = compiled.run({INPUT: x.numpy()})[OUTPUT]
        with torch.no_grad():
            np.testing.assert_allclose(outputs, block(x).numpy(), rtol=1e-4, atol=1e-5)  # float32 in another order
    compiled.close()


def test_6_networks_over_the_budget_use_up_no_candidates(paper_space: SearchSpace, tmp_path: Path) -> None:
    """There: they are proposed again and again and count as tries, so that generations come out short.

    One in many thousands fits here, and each generation is whole all the same.
    """
    strategy = evolution(paper_space, share=0.08)
    drawn = (paper_space.draw(Random(seed)) for seed in range(3000))
    assert sum(strategy.feasible.budget.allows(arch) for arch in drawn) == 0
    cost = strategy.feasible.budget.limits[0].cost
    scores: list[Architecture] = []

    class Scorer:
        def many(self, archs: Sequence[Architecture], reference: object, advance: object) -> list[Score]:
            assert all(map(strategy.feasible.budget.allows, archs))
            scores.extend(archs)
            return [Score(cost.cost(arch) / 1e9) for arch in archs]

    generations = run_strategy(
        strategy, range(3), Scoring(0, Journal(tmp_path / "j.jsonl", {}, CandidateLine), Scorer(), Quiet())
    )
    assert len(generations) == len(set(scores)) == 3 * 50


def evolution(space: SearchSpace, share: float) -> Evolution:
    """With a limit on MACs, `share` of the way from the least to the greatest."""
    cost = macs_cost(space)
    budget = Budget((Limit(cost, cost.least + share * (cost.greatest - cost.least)),))
    return Evolution(FeasibleSet(space, budget), population=50, top_k=10, mutation=0.1)
