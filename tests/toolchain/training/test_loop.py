"""The training loop: killed and gone on with, it ends with the same weights, bit for bit."""

from functools import partial
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
from toolchain.tracking.event_file import EventFile
from toolchain.training import strategies
from toolchain.training.batches import mix
from toolchain.training.checkpoint import load
from toolchain.training.data import Data
from toolchain.training.loop import TrainingSettings, learning_rate, train
from toolchain.training.optimizer import build_optimizer, step
from toolchain.training.passes import Pass, Passes, PlanStep, Teacher, through
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
    checkpoint, curves = folder / "checkpoint.pt", partial(EventFile, folder / "tb")
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
@pytest.mark.parametrize("killed_at", [4, *(pytest.param(step, marks=pytest.mark.long) for step in (1, 9))])
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
    assert one.average == other.average == {}
    assert one.step == other.step == STEPS
    for index, state in one.optimizer["state"].items():
        assert torch.equal(state["momentum_buffer"], other.optimizer["state"][index]["momentum_buffer"])


@pytest.mark.parametrize("kind", ["supernet", pytest.param("network", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adamw"},
        {"ema_decay": 0.7},
        {"mixup_alpha": 0.4, "cutmix_alpha": 1.0},
        {"augmentation": {"auto_augment": "trivialaugment"}},
        {"augmentation": {"auto_augment": "randaugment"}},
        {"optimizer": "adamw", "ema_decay": 0.9, "cutmix_alpha": 1.0, "schedule": "cosine", "warmup_steps": 5},
    ],
    ids=lambda options: "+".join(options),
)
def test_resume_is_exact_with_each_option_of_a_recipe(
    kind: str, options: dict[str, Any], space: SearchSpace, digits: Data, tmp_path: Path
) -> None:
    chosen, plain = recipe(digits, **options), recipe(digits)
    whole, killed = model_of(space, kind), model_of(space, kind)
    run(whole, space, digits, tmp_path / "whole", recipe=chosen)
    with pytest.raises(Killed):
        run(killed, space, digits, tmp_path / "killed", kill_at=6, recipe=chosen)
    torch.manual_seed(99)
    resumed = model_of(space, kind, seed=1)
    run(resumed, space, digits, tmp_path / "killed", recipe=chosen)
    again = model_of(space, kind, seed=2)
    run(again, space, digits, tmp_path / "killed", recipe=chosen, kill_at=0)  # finished: no step is taken

    expected = whole.state_dict()
    for model in (resumed, again):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    unchanged = model_of(space, kind)
    run(unchanged, space, digits, tmp_path / "plain", recipe=plain)
    assert not torch.equal(unchanged.state_dict()["stem.0.weight"], expected["stem.0.weight"]), (
        "the option does nothing"
    )


def test_resume_is_exact_with_a_teacher(space: SearchSpace, digits: Data, tmp_path: Path) -> None:
    frozen = model_of(space, "network", seed=7).eval()

    def trained(folder: str, kill_at: int | None, share: float) -> nn.Module:
        model = model_of(space, "network")

        def plan(step: int) -> Passes:
            if step == kill_at:
                raise Killed
            return Passes([Pass(model, Teacher(frozen, share, temperature=2.0))])

        settings = TrainingSettings(
            "train",
            tmp_path / folder / "checkpoint.pt",
            FINGERPRINT,
            partial(EventFile, tmp_path / "tb"),
            0.0,
            workers=0,
            seed=SEED,
        )
        train(model, plan, digits, recipe(digits), settings, Quiet())
        return model

    whole, labels_only = trained("whole", None, 0.5), trained("labels", None, 0.0)
    with pytest.raises(Killed):
        trained("killed", 4, 0.5)
    resumed = trained("killed", None, 0.5)
    expected = whole.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.state_dict().items())
    assert not torch.equal(labels_only.state_dict()["stem.0.weight"], expected["stem.0.weight"])


def test_training_ends_with_the_average_of_its_weights(space: SearchSpace, digits: Data, tmp_path: Path) -> None:
    """The formula of the average, computed here from the checkpoints of a run without one."""
    path, decay = tmp_path / "plain" / "checkpoint.pt", 0.6
    weights = [dict(model_of(space, "network").named_parameters())["stem.0.weight"].detach()]
    for kill_at in (*range(1, STEPS), None):
        model = model_of(space, "network")
        if kill_at is None:
            run(model, space, digits, path.parent)
        else:
            with pytest.raises(Killed):
                run(model, space, digits, path.parent, kill_at=kill_at)
        weights.append(load(path, FINGERPRINT).model["stem.0.weight"])
    expected = weights[0]
    for number, weight in enumerate(weights[1:]):
        expected = expected + (weight - expected) * (1 - min(decay, (1 + number) / (10 + number)))
    averaged = model_of(space, "network")
    run(averaged, space, digits, tmp_path / "averaged", recipe=recipe(digits, ema_decay=decay))
    torch.testing.assert_close(averaged.state_dict()["stem.0.weight"], expected)


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


def test_a_checkpoint_whose_average_does_not_fit_is_refused(space: SearchSpace, digits: Data, tmp_path: Path) -> None:
    averaging = recipe(digits, ema_decay=0.9)
    with pytest.raises(Killed):
        run(model_of(space, "network"), space, digits, tmp_path, kill_at=3, recipe=averaging)
    kept = load(tmp_path / "checkpoint.pt", FINGERPRINT)
    del kept.average["stem.0.weight"]  # type: ignore[attr-defined]  # a dict
    kept.save(tmp_path / "checkpoint.pt")
    with pytest.raises(BadCheckpoint, match=r"it lacks the tensor stem\.0\.weight"):
        run(model_of(space, "network"), space, digits, tmp_path, recipe=averaging)


def test_adamw_updates_only_the_slices_that_a_step_used(digits: Data) -> None:
    """Equal to torch's own AdamW on the slice, and nothing else changes."""
    weight = nn.Parameter(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    model, part = nn.ParameterList([weight]), (slice(2), slice(None))
    optimizer = build_optimizer(model, Recipe(epochs=1, batch=1, lr=0.1, weight_decay=0.1, optimizer="adamw"))
    alone = nn.Parameter(weight.detach()[part].clone())
    expected = torch.optim.AdamW([alone], lr=0.1, weight_decay=0.1)
    before = weight.detach().clone()
    for number in range(3):
        gradient = torch.randn(4, 3, generator=torch.Generator().manual_seed(number + 1))
        weight.grad, alone.grad = gradient.clone(), gradient[part].clone()
        step(optimizer, {weight: part})
        expected.step()
    torch.testing.assert_close(weight.detach()[part], alone.detach(), rtol=0, atol=0)
    assert torch.equal(weight.detach()[2:], before[2:])


def test_weight_decay_reaches_weights_only(tiny_space: SearchSpace) -> None:
    """Where no gradient pulls, a step with decay shrinks weights and leaves scales, offsets and biases."""
    net = Network(tiny_space, tiny_space.all_same("choice_x"), STANDALONE)
    initialize(net, torch.Generator().manual_seed(0))
    net.add_module("extra", nn.Linear(3, 2, bias=True))
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    optimizer = build_optimizer(net, Recipe(epochs=1, batch=1, lr=0.5, weight_decay=0.1))
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
