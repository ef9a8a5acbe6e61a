"""The training loop: killed and gone on with, it ends with the same weights, bit for bit."""

from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from toolchain.errors import BadCheckpoint, TrainingDiverged
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.network import Network, initialize
from toolchain.nets.supernet import Supernet
from toolchain.progress import Quiet, Task
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training import strategies
from toolchain.training.batches import mix
from toolchain.training.checkpoint import load
from toolchain.training.data import Data
from toolchain.training.loop import TrainingSettings, learning_rate, train
from toolchain.training.optimizer import sgd
from toolchain.training.passes import Pass, Passes, PlanStep, through
from toolchain.training.recipe import Recipe
from toolchain.training.stored_fingerprint import StoredFingerprint

STEPS = 10
SEED = 3
FINGERPRINT = {"what": "test"}
ROUGH = {"crop_padding": 2, "color_jitter": 0.4, "flip": True}


class Killed(BaseException):
    """No `except Exception` on the way stops it, as none stops SIGKILL."""


def recipe(data: Data, **changes: Any) -> Recipe:
    """One of exactly ten steps."""
    values = {"batch": 8, "lr": 0.05, "weight_decay": 1e-2, "label_smoothing": 0.1, "augmentation": ROUGH} | changes
    return Recipe(epochs=STEPS * 8 / len(data.fit), **values)


def model_of(space: SearchSpace, kind: str, seed: int = 0) -> nn.Module:
    model = Supernet(space) if kind == "supernet" else Network(space, space.all_same("choice_5"), STANDALONE)
    initialize(model, torch.Generator().manual_seed(seed))
    return model


def plan_of(model: nn.Module, space: SearchSpace, kill_at: int | None) -> PlanStep:
    def plan(step: int) -> Passes:
        if step == kill_at:
            raise Killed
        if isinstance(model, Supernet):
            path = space.draw(Random(mix(SEED, step)))
            return through(model, [strategies.Path(path)])
        return Passes([Pass(model)])

    return plan


def run(
    model: nn.Module,
    space: SearchSpace,
    data: Data,
    folder: Path,
    kill_at: int | None = None,
    every_s: float = 0.0,
    fingerprint: StoredFingerprint = FINGERPRINT,
    **ways: Any,
) -> int:
    checkpoint, curves = folder / "checkpoint.pt", folder / "tb"
    settings = TrainingSettings("train", checkpoint, fingerprint, curves, every_s, workers=0, seed=SEED)
    plan = plan_of(model, space, kill_at)
    arguments = {"recipe": recipe(data), "progress": Quiet()} | ways
    return train(model, plan, data, settings=settings, **arguments)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """With dropout, which draws random numbers in every step."""
    return load_space(
        "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32,dropout=0.3"
    )


@pytest.mark.parametrize("kind", ["supernet", "network"])
@pytest.mark.parametrize("killed_at", [1, 4, 9])
def test_ten_steps_equal_some_and_the_rest(
    kind: str, killed_at: int, space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    whole = model_of(space, kind)
    assert run(whole, space, digits, tmp_path / "whole") == STEPS

    with pytest.raises(Killed):
        run(model_of(space, kind), space, digits, tmp_path / "killed", kill_at=killed_at)
    assert load(tmp_path / "killed" / "checkpoint.pt", FINGERPRINT).step == killed_at
    torch.manual_seed(99)  # a new process has another state
    resumed = model_of(space, kind, seed=1)  # and its own first weights, which the checkpoint replaces
    assert run(resumed, space, digits, tmp_path / "killed") == STEPS

    expected = whole.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.state_dict().items())
    one, other = (load(tmp_path / way / "checkpoint.pt", FINGERPRINT) for way in ("whole", "killed"))
    assert one.step == other.step == STEPS
    for index, state in one.optimizer["state"].items():
        assert torch.equal(state["momentum_buffer"], other.optimizer["state"][index]["momentum_buffer"])


def test_what_is_trained_to_the_end_is_not_trained_again(space: SearchSpace, digits: Data, tmp_path: Path) -> None:
    run(model_of(space, "network"), space, digits, tmp_path)
    before = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    model = model_of(space, "network", seed=1)
    assert run(model, space, digits, tmp_path, kill_at=0) == STEPS  # no step is taken, so none kills
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == before
    assert torch.equal(
        model.state_dict()["stem.0.weight"], load(tmp_path / "checkpoint.pt", FINGERPRINT).model["stem.0.weight"]
    )


def test_another_runs_checkpoint_is_refused(space: SearchSpace, digits: Data, tmp_path: Path) -> None:
    run(model_of(space, "network"), space, digits, tmp_path)
    with pytest.raises(BadCheckpoint, match="what was 'test' and is now 'another'"):
        run(model_of(space, "network"), space, digits, tmp_path, fingerprint={"what": "another"})


def test_training_learns(tiny_space: SearchSpace, digits: Data, tmp_path: Path) -> None:
    lines: list[str] = []

    class Notes(Quiet):
        def start(self, title: str, total: int, done: int = 0) -> Task:
            assert (title, total, done) == ("train", 120, 0)
            return self  # type: ignore[return-value]

        def advance(self, steps: int = 1, note: str = "") -> None:
            lines.append(note)

    longer = Recipe(epochs=120 * 32 / len(digits.fit), batch=32, lr=0.1)
    run(model_of(tiny_space, "network"), tiny_space, digits, tmp_path, recipe=longer, progress=Notes())
    events = EventAccumulator(str(tmp_path / "tb")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "accuracy", "images_per_s", "learning_rate"}
    last = {tag: events.Scalars(tag)[-1] for tag in events.Tags()["scalars"]}
    assert {event.step for event in last.values()} == {120}
    assert last["learning_rate"].value == pytest.approx(0.1 / 120, rel=1e-6)  # stored as float32
    assert 0 < last["loss"].value < 1.5  # ln 10 = 2.3 is where guessing begins
    assert 0.5 < last["accuracy"].value <= 1
    assert last["images_per_s"].value > 0
    assert "loss " in lines[-1]
    assert "images/s" in lines[-1]


def test_curves_of_a_run_that_was_killed_have_no_step_twice(
    space: SearchSpace, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolchain.training.meter.LOG_EVERY_S", 0.0)
    with pytest.raises(Killed):
        run(model_of(space, "network"), space, digits, tmp_path, kill_at=6, every_s=1e9)  # before its first checkpoint
    run(model_of(space, "network"), space, digits, tmp_path)
    events = EventAccumulator(str(tmp_path / "tb")).Reload()
    steps = [event.step for event in events.Scalars("loss")]
    assert steps == list(range(1, STEPS + 1))


@pytest.mark.parametrize("kind", ["supernet", "network"])
def test_a_training_that_diverges_stops_and_keeps_the_last_good_checkpoint(
    kind: str, space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    absurd = recipe(digits, lr=1e30)
    with pytest.raises(TrainingDiverged) as caught:
        run(model_of(space, kind), space, digits, tmp_path, recipe=absurd)
    assert caught.value.exit_code == 1
    assert (
        "the loss or the weights are not finite. Lower the learning rate, such as lr = 0.1 in [train.changes]"
        in str(caught.value)
    )
    path = tmp_path / "checkpoint.pt"
    if path.exists():
        assert all(bool(torch.isfinite(tensor).all()) for tensor in load(path, FINGERPRINT).model.values())
        assert f"and remove {path} or use another --run NAME" in str(caught.value)


def test_a_checkpoint_whose_momentum_does_not_fit_is_refused(space: SearchSpace, digits: Data, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(model_of(space, "network"), space, digits, tmp_path, kill_at=3)
    kept = load(tmp_path / "checkpoint.pt", FINGERPRINT)
    kept.optimizer["state"][0]["momentum_buffer"] = torch.zeros(1)
    kept.save(tmp_path / "checkpoint.pt")
    with pytest.raises(BadCheckpoint, match="has a momentum that does not fit its weight"):
        run(model_of(space, "network"), space, digits, tmp_path)


def test_weight_decay_reaches_weights_only(tiny_space: SearchSpace) -> None:
    """Where no gradient pulls, a step with decay shrinks weights and leaves scales, offsets and biases."""
    net = Network(tiny_space, tiny_space.all_same("choice_x"), STANDALONE)
    initialize(net, torch.Generator().manual_seed(0))
    net.add_module("extra", nn.Linear(3, 2, bias=True))
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    optimizer = sgd(net, Recipe(epochs=1, batch=1, lr=0.5, weight_decay=0.1))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    kinds = {name: parameter.dim() > 1 for name, parameter in net.named_parameters()}
    assert set(kinds.values()) == {True, False}
    for name, parameter in net.named_parameters():
        expected = before[name] * (1 - 0.5 * 0.1) if kinds[name] else before[name]
        torch.testing.assert_close(parameter.detach(), expected, msg=name)


def test_each_parameter_is_trained(tiny_space: SearchSpace, digits: Data, tmp_path: Path) -> None:
    net = Network(tiny_space, tiny_space.all_same("choice_x"), STANDALONE)
    initialize(net, torch.Generator().manual_seed(0))
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    run(net, tiny_space, digits, tmp_path)
    assert not [name for name, parameter in net.named_parameters() if torch.equal(parameter, before[name])]


def test_the_papers_rate_falls_in_a_line_to_zero() -> None:
    linear = Recipe(epochs=1, batch=1, lr=0.5)
    rates = [learning_rate(linear, step, 1000) for step in range(1000)]
    assert rates[0] == 0.5
    assert rates[500] == pytest.approx(0.25)
    assert rates[999] == pytest.approx(0.5 / 1000)
    falls = [one - other for one, other in pairwise(rates)]
    assert falls == pytest.approx([0.5 / 1000] * 999)


def test_a_cosine_rate_ends_near_zero() -> None:
    cosine = Recipe(epochs=1, batch=1, lr=0.2, schedule="cosine")
    rates = [learning_rate(cosine, step, 1000) for step in range(1000)]
    assert rates[0] == 0.2
    assert rates[500] == pytest.approx(0.1)
    assert 0 < rates[999] < 1e-5 * 0.2
    assert rates == sorted(rates, reverse=True)


def test_a_warm_up_is_linear_and_counts_from_the_first_step() -> None:
    warm = Recipe(epochs=1, batch=1, lr=0.5, warmup_steps=5)
    plain = Recipe(epochs=1, batch=1, lr=0.5)
    shares = [learning_rate(warm, step, 100) / learning_rate(plain, step, 100) for step in range(8)]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1])
