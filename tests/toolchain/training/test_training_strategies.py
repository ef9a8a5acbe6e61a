"""Properties of every training strategy. To test another one, add its name to `NAMES`."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from toolchain.config import Config, parse_config, preset_text
from toolchain.costs.counters import count_macs, macs_cost
from toolchain.errors import BadCheckpoint
from toolchain.nets.blocks import SUPERNET, shared_by
from toolchain.nets.network import initialize
from toolchain.nets.shared_norm import SharedBatchNorm2d
from toolchain.nets.supernet import SharedBlock, Supernet
from toolchain.parallel.ranks import world
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.tracking.event_file import EventFile
from toolchain.training.batches import mix
from toolchain.training.checkpoint import load
from toolchain.training.data import Data, load_data
from toolchain.training.fingerprint import supernet_fingerprint
from toolchain.training.job import Job
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.optimizer import build_optimizer
from toolchain.training.passes import Passes, PlanStep, distillation_loss, through
from toolchain.training.precision import FP32, Precision
from toolchain.training.recipe import Recipe
from toolchain.training.stepper import Stepper
from toolchain.training.strategies import NAMES, StrategyName, TrainingStrategy, training_strategy
from toolchain.training.strategies.cost import equal_cost_epochs, macs_per_step
from toolchain.training.strategies.sandwich import extremes
from toolchain.training.supernet_training import initial_supernet, train_supernet
from toolchain.training.trained_supernet import load_supernet

TINY = "size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"
WIDTHS = f"shufflenet_v2_quick:{TINY},ops=choice_3-choice_x,widths=0.5-1.0-1.5,round_to=1"
STEPS, BATCH, SEED = 6, 16, 3
InRanks = Callable[..., list[Any]]

each_strategy = pytest.mark.parametrize("name", NAMES)


class Killed(BaseException):
    """No `except Exception` stops it, as none stops SIGKILL."""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """Ops and widths, so that a step uses some weights only partly; with dropout, which draws random numbers."""
    return load_space(f"{WIDTHS},dropout=0.2")


@pytest.fixture(scope="module")
def data(space: SearchSpace) -> Data:
    return load_data("digits", space, 20, 0)


def strategy_of(name: StrategyName, space: SearchSpace) -> TrainingStrategy:
    return training_strategy(name, space, space.draw)


def supernet_of(space: SearchSpace, seed: int = 0) -> Supernet:
    net = Supernet(space, shared_by(SUPERNET, world()))
    initialize(net, torch.Generator().manual_seed(seed))
    return net


def plan_of(name: StrategyName, supernet: Supernet, kill_at: int | None = None) -> PlanStep:
    strategy = strategy_of(name, supernet.space)

    def plan(step: int) -> Passes:
        if step == kill_at:
            raise Killed
        return through(supernet, strategy.paths(Random(mix(SEED, step))))

    return plan


def trained(
    name: StrategyName,
    space: SearchSpace,
    data: Data,
    folder: Path,
    kill_at: int | None = None,
    precision: Precision = FP32,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """The weights after six steps; with another `seed`, the checkpoint must replace the first weights."""
    supernet = supernet_of(space, seed)
    recipe = Recipe(epochs=STEPS * BATCH / len(data.fit), batch=BATCH, lr=0.02, weight_decay=1e-2, label_smoothing=0.1)
    checkpoint, fingerprint = folder / "checkpoint.pt", {"strategy": name}
    settings = TrainingSettings(
        "train", checkpoint, fingerprint, partial(EventFile, folder / "tb"), 0.0, 0, SEED, precision
    )
    plan = plan_of(name, supernet, kill_at)
    assert train(supernet, plan, data, recipe, settings, Quiet()) == STEPS
    return supernet.state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[key]) for key, tensor in first.items())


@each_strategy
def test_paths_are_of_the_space_and_depend_only_on_the_random_numbers(name: StrategyName, space: SearchSpace) -> None:
    strategy = strategy_of(name, space)
    for seed in range(20):
        paths = strategy.paths(Random(seed))
        assert len(paths) == strategy.paths_per_step
        assert paths == strategy.paths(Random(seed))
        for number, path in enumerate(paths):
            assert space.architecture(path.architecture.choices) == path.architecture
            assert path.teacher is None or path.teacher < number
    assert len({tuple(strategy.paths(Random(seed))) for seed in range(20)}) > 10


@each_strategy
def test_only_the_weights_of_the_paths_change(name: StrategyName, space: SearchSpace, data: Data) -> None:
    """Also with momentum and weight decay, which would move unused weights."""
    supernet = supernet_of(space).train()
    stepper = Stepper(
        plan_of(name, supernet),
        data.preprocessing,
        build_optimizer(supernet, Recipe(epochs=1, batch=BATCH, lr=0.1, weight_decay=0.1)),
        FP32.scaler(torch.device("cpu")),
        FP32,
        0.0,
    )
    pixels, labels = data.train.fetch(list(data.fit[:BATCH])), data.train.labels[list(data.fit[:BATCH])]
    partly = 0
    for step in range(4):
        before = {key: value.detach().clone() for key, value in supernet.named_parameters()}
        stepper(pixels, labels, step)
        used = used_weights(supernet, strategy_of(name, space), step)
        for key, value in supernet.named_parameters():
            changed = value.detach() != before[key]
            assert not bool((changed & ~used[key]).any()), key
            if value.dim() > 1:  # a bias may have a gradient of exactly 0
                assert bool(used[key].any()) == bool(changed.any()), key
            partly += bool(used[key].any()) and not bool(used[key].all())
    assert partly or name == "fair"  # a round of fair contains the widest choice of each op


def used_weights(supernet: Supernet, strategy: TrainingStrategy, step: int) -> dict[str, torch.Tensor]:
    """Of each weight, bool of its shape: whether any path of the step uses the element."""
    paths = [path.architecture for path in strategy.paths(Random(mix(SEED, step)))]
    used = {key: torch.zeros(value.shape, dtype=torch.bool) for key, value in supernet.named_parameters()}
    for key, value in used.items():
        if not key.startswith("blocks."):
            value.fill_(True)
    for arch in paths:
        for position, key in enumerate(arch.choices):
            block = supernet.blocks[position]
            assert isinstance(block, SharedBlock)
            op = next(choice.op for choice in supernet.space.blocks[position].choices if choice.key == key)
            for name, weight in block.weights(key).items():
                part = tuple(slice(size) for size in weight.shape)
                used[f"blocks.{position}.ops.{op}.{name}"][part] = True
    return used


@each_strategy
@pytest.mark.parametrize("killed_at", [pytest.param(1, marks=pytest.mark.long), 4])
def test_killed_and_resumed_training_ends_with_the_same_weights(
    name: StrategyName, killed_at: int, space: SearchSpace, data: Data, tmp_path: Path
) -> None:
    whole = trained(name, space, data, tmp_path / "whole")
    with pytest.raises(Killed):
        trained(name, space, data, tmp_path / "killed", killed_at)
    assert load(tmp_path / "killed" / "checkpoint.pt", {"strategy": name}).step == killed_at
    torch.manual_seed(99)
    assert equal(trained(name, space, data, tmp_path / "killed", seed=1), whole)


@each_strategy
def test_gradients_add_up_to_those_of_the_sum_of_losses(name: StrategyName, space: SearchSpace, data: Data) -> None:
    supernet = supernet_of(load_space(WIDTHS)).train()
    pixels, labels = data.train.fetch(list(data.fit[:BATCH])), data.train.labels[list(data.fit[:BATCH])]
    images = data.preprocessing(pixels)
    total, outputs = torch.zeros(()), []
    for path in strategy_of(name, supernet.space).paths(Random(mix(SEED, 0))):
        outputs.append(supernet(images, path.architecture))
        if path.teacher is None:
            total = total + F.cross_entropy(outputs[-1], labels)
        else:
            teacher = outputs[path.teacher].detach().softmax(1)
            total = total - (teacher * outputs[-1].log_softmax(1)).sum(1).mean()
    total.backward()  # type: ignore[no-untyped-call]
    expected = {
        key: value.detach() - 0.5 * value.grad for key, value in supernet.named_parameters() if value.grad is not None
    }
    optimizer = torch.optim.SGD([{"params": list(supernet.parameters()), "lr_scale": 1.0}], lr=0.5)
    stepper = Stepper(
        plan_of(name, supernet), data.preprocessing, optimizer, FP32.scaler(torch.device("cpu")), FP32, 0.0
    )
    stepper(pixels, labels, 0)
    for key, value in supernet.named_parameters():
        if key in expected:
            torch.testing.assert_close(value.detach(), expected[key], atol=1e-5, rtol=1e-4)


@pytest.mark.long
@each_strategy
def test_bf16_and_fp16_train(name: StrategyName, space: SearchSpace, data: Data, tmp_path: Path) -> None:
    exact = trained(name, space, data, tmp_path / "fp32")
    for dtype in (torch.bfloat16, torch.float16):
        mixed = trained(name, space, data, tmp_path / str(dtype), precision=Precision(dtype))
        assert all(bool(torch.isfinite(value).all()) for value in mixed.values())
        assert not equal(mixed, exact)


@pytest.mark.long
@each_strategy
def test_two_processes_train_as_one(
    name: StrategyName, in_ranks: InRanks, space: SearchSpace, data: Data, tmp_path: Path
) -> None:
    """Sums of two parts differ in rounding, which grows over the steps."""
    quiet = load_space(WIDTHS)  # the processes draw different dropout
    alone = trained(name, quiet, data, tmp_path / "one")
    first, second = in_ranks(partial(trained, name, quiet, data, tmp_path / "two"), 2)
    assert equal(first, second)
    for key, value in alone.items():
        torch.testing.assert_close(first[key], value, atol=2e-3, rtol=1e-2)


def test_a_round_of_fair_has_each_choice_exactly_once(space: SearchSpace, paper_space: SearchSpace) -> None:
    for each in (space, paper_space):
        fair = strategy_of("fair", each)
        for seed in range(5):
            paths = fair.paths(Random(seed))
            for position, block in enumerate(each.blocks):
                used = Counter(path.architecture.choices[position] for path in paths)
                assert used == {choice.key: 1 for choice in block.choices}


def test_blocks_with_fewer_choices_use_each_as_often_up_to_one() -> None:
    space = load_space(
        "proxyless:size_px=32,classes=10,stem_channels=8,stage_widths=8-16-24,stage_repeats=1-2-1,"
        "stage_strides=1-2-2,head_channels=32"
    )
    sizes = {len(block.choices) for block in space.blocks}
    assert len(sizes) > 1
    fair = strategy_of("fair", space)
    assert fair.paths_per_step == max(sizes)
    for position, block in enumerate(space.blocks):
        used = Counter(path.architecture.choices[position] for path in fair.paths(Random(0)))
        assert set(used) == {choice.key for choice in block.choices}
        assert max(used.values()) - min(used.values()) <= 1


def test_a_sandwich_has_the_extremes_by_macs_and_two_of_the_sampler(space: SearchSpace) -> None:
    largest, smallest = extremes(space)
    cost = macs_cost(space)
    assert (cost.cost(largest), cost.cost(smallest)) == (cost.greatest, cost.least)
    drawn = [space.draw(Random(seed)) for seed in range(300)]
    macs = [count_macs(supernet_of(space).extract(arch), space.input_shape) for arch in (largest, smallest)]
    assert macs[0] >= max(map(cost.cost, drawn)) > min(map(cost.cost, drawn)) >= macs[1]
    first, *students = strategy_of("sandwich", space).paths(Random(7))
    assert (first.architecture, first.teacher) == (largest, None)
    assert [path.teacher for path in students] == [0, 0, 0]
    rng = Random(7)
    assert [path.architecture for path in students] == [smallest, space.draw(rng), space.draw(rng)]


def test_distillation_is_the_cross_entropy_with_the_teachers_probabilities() -> None:
    teacher, student = torch.tensor([[0.0, 1.0]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert float(distillation_loss(student, teacher)) == pytest.approx(0.28768207, abs=1e-6)  # -ln 0.75
    half = torch.zeros(1, 2)
    assert float(distillation_loss(half, half)) == pytest.approx(0.69314718, abs=1e-6)  # ln 2


def test_cost_of_a_step(space: SearchSpace) -> None:
    cost = macs_cost(space)
    single, sandwich, fair = (strategy_of(name, space) for name in NAMES)
    per_path = macs_per_step(single, space)
    assert macs_per_step(sandwich, space) == pytest.approx(cost.greatest + cost.least + 2 * per_path, rel=0.02)
    assert macs_per_step(fair, space) == pytest.approx(6 * per_path, rel=0.02)  # 2 ops x 3 widths
    assert equal_cost_epochs(6.0, single, fair, space) == pytest.approx(1.0, rel=0.02)


def job_of(space: SearchSpace, data: Data, folder: Path, **flags: Any) -> Job:
    given = {"space": WIDTHS, "data": "digits", "threads": 1, "holdout_per_class": 20}
    changes = {"train.changes": {"epochs": 0.1, "batch": 32}}
    config: Config = parse_config(preset_text("quick"), given | changes | flags, "test")
    return Job(config, space, data, Run(folder), Quiet())


def test_a_checkpoint_remembers_its_strategy(space: SearchSpace, data: Data, tmp_path: Path) -> None:
    """The default is not written: checkpoints are those of earlier versions, which had no other strategy."""
    single = job_of(space, data, tmp_path)
    assert "strategy" not in supernet_fingerprint(single).stored()
    train_supernet(single)
    fair = job_of(space, data, tmp_path, **{"train.strategy": "fair"})
    with pytest.raises(BadCheckpoint, match="strategy was 'spos' and is now 'fair'"):
        train_supernet(fair)
    other = job_of(space, data, tmp_path / "fair", **{"train.strategy": "fair"})
    train_supernet(other)
    with pytest.raises(BadCheckpoint, match="strategy was 'fair' and is now 'spos'"):
        train_supernet(job_of(space, data, tmp_path / "fair"))
    load_supernet(job_of(space, data, tmp_path / "fair"))  # a search takes any strategy


def test_statistics_of_each_process(space: SearchSpace, data: Data, tmp_path: Path) -> None:
    """As in DataParallel: each process normalizes by its own images, so the processes' losses and weights differ."""
    job = job_of(space, data, tmp_path, **{"train.sync_batch_norm": False})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolchain.training.supernet_training.world", lambda: 2)
        layers = {type(layer) for layer in initial_supernet(job).modules() if isinstance(layer, nn.BatchNorm2d)}
        shared = initial_supernet(job_of(space, data, tmp_path))
    assert layers == {nn.BatchNorm2d}
    assert any(isinstance(layer, SharedBatchNorm2d) for layer in shared.modules())
