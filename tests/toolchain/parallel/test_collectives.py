"""Collectives and training in several real processes over gloo, compared with one process."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from _pytest.mark import ParameterSet
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from toolchain.errors import BadConfig
from toolchain.nets.blocks import STANDALONE, SUPERNET, Norm, shared_by
from toolchain.nets.network import Network, initialize
from toolchain.nets.shared_norm import SharedBatchNorm2d
from toolchain.nets.supernet import Supernet
from toolchain.parallel.collectives import from_first, gather_over_ranks, sum_over_ranks, wait_for_all
from toolchain.parallel.ranks import local_rank, rank, world
from toolchain.progress import Quiet
from toolchain.spaces.core import SearchSpace
from toolchain.tracking.event_file import EventFile
from toolchain.training import strategies
from toolchain.training.accuracy import accuracy_over_ranks, fixed_batches, recalibration_batches, top1
from toolchain.training.batches import mix
from toolchain.training.checkpoint import load
from toolchain.training.data import Data
from toolchain.training.loop import TrainingSettings, train
from toolchain.training.passes import Pass, Passes, through
from toolchain.training.recalibrate import average_statistics, recalibrate
from toolchain.training.recipe import Recipe

InRanks = Callable[..., list[Any]]
SEED = 3
STEPS = {"supernet": 50, "network": 20}
FINGERPRINT = {"what": "test"}


def long(*values: Any) -> ParameterSet:
    """Mark a case as long: it checks the same code as the quick case with more processes."""
    return pytest.param(*values, marks=pytest.mark.long)


def test_collectives_in_one_process_return_their_input() -> None:
    tensor = torch.arange(3.0)
    sum_over_ranks([tensor])
    wait_for_all()
    assert (rank(), world(), local_rank()) == (0, 1, 0)
    assert tensor.tolist() == [0, 1, 2]
    assert gather_over_ranks(tensor).tolist() == [[0, 1, 2]]
    assert from_first(lambda: "value") == "value"


def run_collectives(bucket_bytes: int) -> dict[str, Any]:
    value = float(rank() + 1)
    layouts = torch.full((2, 3, 4, 5), value).to(memory_format=torch.channels_last)
    part = torch.zeros(4, 4)
    part[:2, :2] = value
    tensors = [torch.tensor([value]), torch.tensor(value).double(), layouts, part[:2, :2], torch.arange(7.0) * value]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolchain.parallel.collectives.BUCKET_BYTES", bucket_bytes)
        sum_over_ranks(tensors)
    return {
        "ranks": (rank(), world(), local_rank()),
        "summed": [tensor.unique().tolist() for tensor in tensors[:3]] + [part.tolist(), tensors[4].tolist()],
        "gathered": gather_over_ranks(torch.tensor([value, 7.0])).tolist(),
        "first": from_first(lambda: f"from rank {rank()}"),
    }


@pytest.mark.long
@pytest.mark.parametrize("bucket_bytes", [long(1), 100, long(2**20)])
def test_collectives_of_three_processes(in_ranks: InRanks, bucket_bytes: int) -> None:
    results = in_ranks(run_collectives, 3, bucket_bytes)
    assert [result.pop("ranks") for result in results] == [(0, 3, 0), (1, 3, 1), (2, 3, 2)]
    assert results[0] == results[1] == results[2]
    corner = [[6.0, 6.0, 0.0, 0.0]] * 2 + [[0.0] * 4] * 2
    assert results[0]["summed"] == [[6], [6], [6], corner, [6.0 * n for n in range(7)]]
    assert results[0]["gathered"] == [[1, 7], [2, 7], [3, 7]]
    assert results[0]["first"] == "from rank 0"


def normalize(norm: Norm, momentum: float | None, x: Tensor, g: Tensor) -> dict[str, Tensor]:
    """Forward and backward of two batches through a layer; each process has its part of each batch."""
    layer = norm.layer(5)
    layer.momentum = momentum
    if norm.affine:
        torch.nn.init.uniform_(layer.weight, 0.5, 2, generator=torch.Generator().manual_seed(1))
        torch.nn.init.uniform_(layer.bias, -1, 1, generator=torch.Generator().manual_seed(2))
    share = x.shape[1] // world()
    mine = slice(rank() * share, (rank() + 1) * share)
    inputs = x[:, mine].clone().requires_grad_()
    outputs = torch.stack([layer(batch) for batch in inputs])
    outputs.backward(g[:, mine])
    assert inputs.grad is not None
    results = {"y": outputs.detach(), "x": inputs.grad}
    kept = dict(layer.state_dict())
    if norm.affine:
        kept |= {f"{name} gradient": p.grad for name, p in layer.named_parameters() if p.grad is not None}
    return results | {name: value.detach().clone() for name, value in kept.items()}


@pytest.mark.long
@pytest.mark.parametrize(
    ("norm", "momentum"), [(SUPERNET, 0.1), long(SUPERNET, None), long(STANDALONE, 0.1), long(STANDALONE, None)]
)
def test_normalization_of_a_batch_split_over_processes(norm: Norm, momentum: float | None, in_ranks: InRanks) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, 5, 3, 3, generator=generator) * 2 + 50  # far from 0: sums of squares would cancel
    g = torch.randn(x.shape, generator=generator)
    complete = normalize(norm, momentum, x, g)
    parts = in_ranks(normalize, 2, shared_by(norm, 2), momentum, x, g)
    # normalizing 50 +- 2 in float32 loses five bits of 24: 2e-6 a value; a gradient sums 72 of them
    close = partial(torch.testing.assert_close, atol=1e-4, rtol=1e-4)
    for name in ("y", "x"):
        close(torch.cat([part.pop(name) for part in parts], dim=1), complete.pop(name))
    for name, expected in complete.items():
        first, second = (part[name] for part in parts)
        if name.endswith("gradient"):  # each process has the gradient of its own images; the training loop sums them
            first, second = first + second, first + second
        close(first, expected)
        assert torch.equal(first, second)


def test_shared_norm_in_one_process_equals_batch_norm() -> None:
    x = torch.randn(4, 5, 3, 3)
    shared, plain = SharedBatchNorm2d(5), torch.nn.BatchNorm2d(5)
    torch.testing.assert_close(shared(x), plain(x))
    torch.testing.assert_close(shared.running_var, plain.running_var)
    assert torch.equal(shared.eval()(x), plain.eval()(x)) or torch.allclose(shared(x), plain(x))
    assert type(shared_by(STANDALONE, 1).layer(3)) is torch.nn.BatchNorm2d


class RecordedNotes(Quiet):
    """Progress that records the note of each step."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, title: str, total: int, done: int = 0) -> Any:
        return self

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.notes.append(note)


class Killed(BaseException):
    pass


def train_steps(
    space: SearchSpace,
    data: Data,
    folder: Path,
    steps: int,
    kind: str = "supernet",
    kill_at: int | None = None,
    batch: int = 32,
    **changes: Any,
) -> dict[str, Any]:
    """Train in the current processes; returns the weights of this rank, and the losses in the first rank.

    `losses` are the printed ones, `curve` the same in float32 from the TensorBoard file.
    """
    model: torch.nn.Module
    if kind == "supernet":
        model = Supernet(space, shared_by(SUPERNET, world()))
    else:
        model = Network(space, space.all_same("choice_x"), shared_by(STANDALONE, world()))
    initialize(model, torch.Generator().manual_seed(0))
    losses: list[float] = []

    def plan(step: int) -> Passes:
        if step == kill_at:
            wait_for_all()  # until the first process has written its checkpoint
            raise Killed
        if isinstance(model, Supernet):
            path = space.draw(Random(mix(SEED, step)))
            return through(model, [strategies.Path(path)])
        return Passes([Pass(model)])

    progress = RecordedNotes()
    how: dict[str, Any] = {"lr": 0.02, "weight_decay": 1e-2, "warmup_steps": 4}
    recipe = Recipe(epochs=steps * batch / len(data.fit), batch=batch, **how | changes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = TrainingSettings(
        "train", folder / "checkpoint.pt", FINGERPRINT, partial(EventFile, folder / "tb"), 0.0, workers=0, seed=SEED
    )
    with suppress(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolchain.training.meter.LOG_EVERY_S", 0.0)
        train(model, plan, data, recipe, settings, progress)
    losses = [float(note.split()[1]) for note in progress.notes]
    curve = curve_in(folder / "tb") if rank() == 0 else []
    return {"before": before, "model": model.state_dict(), "losses": losses, "curve": curve}


def curve_in(folder: Path) -> list[float]:
    return [point.value for point in EventAccumulator(str(folder)).Reload().Scalars("loss")]


@pytest.mark.parametrize("kind", ["supernet", long("network")])
def test_one_step_of_two_processes_with_64_images_equals_one_with_128(
    kind: str, in_ranks: InRanks, tiny_space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    """The loss and the updated weights are equal: normalization, gradients and loss use all 128 images."""
    step = partial(train_steps, tiny_space, digits, steps=1, kind=kind, batch=128, lr=1.0, warmup_steps=0)
    single = step(tmp_path / "single")
    first, second = in_ranks(partial(step, tmp_path / "both"), 2)
    assert len(first["curve"]) == 1
    assert first["curve"] == pytest.approx(single["curve"], rel=1e-5)
    torch.testing.assert_close(second["model"], first["model"], atol=0, rtol=0)
    torch.testing.assert_close(dict(first["model"]), dict(single["model"]), atol=1e-5, rtol=1e-5)
    weights = [name for name in single["model"] if name.endswith("weight")]
    moved = max(float((single["model"][name] - single["before"][name]).abs().max()) for name in weights)
    assert moved > 1e-2  # 1000 times the tolerance


@pytest.mark.parametrize("kind", [long("supernet"), long("network")])
def test_training_in_two_processes_equals_one(
    kind: str, in_ranks: InRanks, tiny_space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    single = train_steps(tiny_space, digits, tmp_path / "single", STEPS[kind], kind)
    first, second = in_ranks(train_steps, 2, tiny_space, digits, tmp_path / "both", STEPS[kind], kind)
    assert first["model"].keys() == second["model"].keys() == single["model"].keys()
    for name, value in first["model"].items():
        assert torch.equal(value, second["model"][name]), name
    assert len(first["losses"]) == STEPS[kind]
    assert second["losses"] == []  # only the first process reports
    # printed with three digits; the order of summation changes later steps more than earlier ones
    assert first["losses"][:10] == pytest.approx(single["losses"][:10], abs=0.0021)
    assert first["losses"] == pytest.approx(single["losses"], abs=0.1)


@pytest.mark.parametrize(("before", "after"), [long(2, 1), long(1, 2)])
def test_resume_with_a_different_number_of_processes(
    before: int, after: int, in_ranks: InRanks, tiny_space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    steps, killed_at = 10, 4
    complete = train_steps(tiny_space, digits, tmp_path / "complete", steps)
    for ranks, kill_at in ((before, killed_at), (after, None)):
        work = partial(train_steps, tiny_space, digits, tmp_path / "changed", steps, kill_at=kill_at)
        results = work() if ranks == 1 else in_ranks(work, ranks)[0]
        if kill_at:
            assert load(tmp_path / "changed" / "checkpoint.pt", FINGERPRINT).step == killed_at
    assert len(results["losses"]) == steps - killed_at
    assert results["losses"] == pytest.approx(complete["losses"][killed_at:], abs=0.0021)


def train_error(data: Data, folder: Path, model: torch.nn.Module) -> str:
    recipe = Recipe(epochs=1, batch=33, lr=0.1)
    settings = TrainingSettings(
        "train", folder / "checkpoint.pt", FINGERPRINT, partial(EventFile, folder / "tb"), 0.0, workers=0, seed=SEED
    )
    with pytest.raises(BadConfig) as problem:
        train(model, lambda _: Passes([Pass(model)]), data, recipe, settings, Quiet())
    return str(problem.value)


@pytest.mark.long
def test_batch_not_divisible_by_the_processes_is_an_error(
    in_ranks: InRanks, tiny_space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    net = Network(tiny_space, tiny_space.all_same("choice_3"), STANDALONE)
    texts = in_ranks(train_error, 2, digits, tmp_path, net)
    assert "a batch of 33 images cannot be shared equally by 2 processes. Give a batch that can, as in" in texts[0]
    assert not (tmp_path / "checkpoint.pt").exists()


def recalibrated(space: SearchSpace, data: Data) -> tuple[dict[str, Tensor], float]:
    net = Network(space, space.all_same("choice_5"), STANDALONE)
    initialize(net, torch.Generator().manual_seed(0))
    recalibrate(net, recalibration_batches(data, 320, 64, seed=1, spread=True), data.preprocessing)
    average_statistics(net)
    return net.state_dict(), accuracy_over_ranks(net, data.train, data.holdout, 64, data.preprocessing)


@pytest.mark.parametrize("ranks", [long(1), long(2), 3])  # five batches: ranks have different numbers of batches
def test_recalibration_and_accuracy_equal_those_of_one_process(
    ranks: int, in_ranks: InRanks, tiny_space: SearchSpace, digits: Data
) -> None:
    plain = Network(tiny_space, tiny_space.all_same("choice_5"), STANDALONE)
    initialize(plain, torch.Generator().manual_seed(0))
    recalibrate(plain, recalibration_batches(digits, 320, 64, seed=1), digits.preprocessing)
    results = in_ranks(recalibrated, ranks, tiny_space, digits)
    for state, accuracy in results:
        assert accuracy == results[0][1]
        assert all(torch.equal(value, results[0][0][name]) for name, value in state.items())
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(results[0][0][name], value, atol=1e-6, rtol=1e-5)  # five float32 sums
    expected = top1(plain, fixed_batches(digits.train, digits.holdout, 64), digits.preprocessing)
    assert results[0][1] == pytest.approx(expected, abs=1 / len(digits.holdout))  # one near tie may differ
