"""Rivals in the training loop: alternating updates, checkpoints, and the architecture at the end."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from toolchain.config import parse_config, preset_text
from toolchain.errors import BadCheckpoint, BadConfig
from toolchain.files import read_document
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.training.architecture_training import ArchitectureTraining, split_images
from toolchain.training.checkpoint import load
from toolchain.training.data import Data, load_data
from toolchain.training.fingerprint import supernet_fingerprint
from toolchain.training.job import Job
from toolchain.training.learned import LearnedArchitecture, learned_networks
from toolchain.training.passes import Passes
from toolchain.training.rivals import NAMES
from toolchain.training.supernet_training import train_supernet
from toolchain.training.trained_supernet import load_trained

SPACE = (
    "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=1-1,head_channels=32,"
    "ops=choice_3-choice_x,widths=0.5-1.0,round_to=1,dropout=0.2"
)
STEPS = 8


class Killed(BaseException):
    """No `except Exception` stops it, as none stops SIGKILL."""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space(SPACE)


@pytest.fixture(scope="module")
def data(space: SearchSpace) -> Data:
    return load_data("digits", space, 20, 0)


def job_of(strategy: str, space: SearchSpace, data: Data, folder: Path, **flags: Any) -> Job:
    given = {
        "space": SPACE,
        "data": "digits",
        "threads": 1,
        "holdout_per_class": 20,
        "train.strategy": strategy,
        "train.checkpoint_every_s": 0.0,
        "train.changes": {"epochs": STEPS * 16 / len(data.fit), "batch": 16},
    }
    config = parse_config(preset_text("quick"), given | flags, "test")
    return Job(config, space, data, Run(folder), Quiet())


def weights_of(job: Job) -> Mapping[str, Tensor]:
    return load(job.run.supernet, supernet_fingerprint(job).stored()).model


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_killed_and_resumed_training_ends_the_same(
    name: str, space: SearchSpace, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights and the same distribution, bit for bit."""
    whole, killed = (job_of(name, space, data, tmp_path / folder) for folder in ("whole", "killed"))
    train_supernet(whole)
    passes = ArchitectureTraining.passes

    def kill_at_5(self: ArchitectureTraining, step: int) -> Passes:
        if step == 5:
            raise Killed
        return passes(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(ArchitectureTraining, "passes", kill_at_5)
        with pytest.raises(Killed):
            train_supernet(killed)
    assert load(killed.run.supernet, supernet_fingerprint(killed).stored()).step == 5
    torch.manual_seed(99)
    trained = train_supernet(killed)
    assert trained.steps == STEPS
    expected, weights = weights_of(whole), weights_of(killed)
    assert all(torch.equal(value, weights[key]) for key, value in expected.items())
    assert load_trained(killed).distribution == load_trained(whole).distribution
    if name == "path-dropout":
        assert trained.learned is None
        assert not killed.run.learned.exists()
    else:
        learned = read_document(killed.run.learned, LearnedArchitecture, "")
        assert learned == read_document(whole.run.learned, LearnedArchitecture, "") == trained.learned
        assert max(max(row.values()) for row in learned.probabilities) > 0.251  # not uniform


@pytest.mark.parametrize("name", [name for name in NAMES if name != "path-dropout"])
def test_the_two_updates_change_different_parameters(
    name: str, space: SearchSpace, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    update = ArchitectureTraining.update

    def observed(self: ArchitectureTraining, step: int) -> None:
        weights = [parameter.detach().clone() for parameter in self._supernet.parameters()]
        gradients = [parameter.grad for parameter in self._supernet.parameters()]
        logits = [row.detach().clone() for row in self.logits]
        update(self, step)
        assert all(torch.equal(a, b) for a, b in zip(weights, self._supernet.parameters(), strict=True))
        assert all(a is b.grad for a, b in zip(gradients, self._supernet.parameters(), strict=True))
        seen.append((logits, [row.detach().clone() for row in self.logits]))

    monkeypatch.setattr(ArchitectureTraining, "update", observed)
    start = {"train.architecture.start": 0.25, "train.architecture.lr": 0.1}
    train_supernet(job_of(name, space, data, tmp_path, **start))
    changed = [any(not torch.equal(a, b) for a, b in zip(*each, strict=True)) for each in seen]
    assert changed[:2] == [False, False]  # a quarter of 8 steps trains the weights alone
    assert any(changed[2:])
    for (_, after), (before, _) in pairwise(seen):  # the update of the weights is between them
        assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_images_are_split(data: Data) -> None:
    weights, architecture = split_images(data, 0.2, 0)
    assert len(architecture.fit) == round(0.2 * len(data.fit))
    assert sorted(weights.fit + architecture.fit) == sorted(data.fit)
    assert not set(weights.fit) & set(architecture.fit)
    assert split_images(data, 0.2, 0)[1].fit == architecture.fit != split_images(data, 0.2, 1)[1].fit


def test_other_hyper_parameters_are_another_training(space: SearchSpace, data: Data, tmp_path: Path) -> None:
    train_supernet(job_of("darts", space, data, tmp_path))
    with pytest.raises(BadCheckpoint, match=r"architecture\.settings\.lr was 0\.01 and is now 0\.5"):
        train_supernet(job_of("darts", space, data, tmp_path, **{"train.architecture.lr": 0.5}))
    assert "architecture" not in supernet_fingerprint(job_of("spos", space, data, tmp_path)).stored()


def test_latency_in_the_loss_needs_the_table(space: SearchSpace, data: Data, tmp_path: Path) -> None:
    job = job_of("two-path", space, data, tmp_path, **{"train.architecture.cost": "latency"})
    with pytest.raises(BadConfig, match=r"needs the latency table of the target\. Run nastool profile first"):
        train_supernet(job)


def test_networks_of_a_distribution(space: SearchSpace) -> None:
    keys = [[choice.key for choice in block.choices] for block in space.blocks]
    distribution = [dict(zip(names, (0.1, 0.6, 0.2, 0.1), strict=True)) for names in keys]
    networks = learned_networks(space, distribution, 6, seed=0)
    assert networks[0].choices == tuple(names[1] for names in keys)
    assert len(set(networks)) == 6
    assert networks == learned_networks(space, distribution, 6, seed=0) != learned_networks(space, distribution, 6, 1)
    certain = [{key: float(number == 2) for number, key in enumerate(names)} for names in keys]
    assert [arch.choices for arch in learned_networks(space, certain, 3, 0)] == [tuple(names[2] for names in keys)]
