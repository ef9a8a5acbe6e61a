"""Networks that start from trained weights, and learn from a teacher."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from toolchain.config import parse_config, preset_text
from toolchain.costs.counters import default_cost
from toolchain.counting.feasible import most_expensive_of
from toolchain.errors import BadCheckpoint, MissingStage
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.derive import model_space
from toolchain.nets.network import Network
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.search.finalists.trainings import Trainings
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.data import Data
from toolchain.training.job import Job
from toolchain.training.passes import Teacher
from toolchain.training.recipe import Recipe
from toolchain.training.retraining import retrain
from toolchain.training.starting_point import StartingPoint
from toolchain.training.supernet_training import train_supernet
from toolchain.training.trained_supernet import load_supernet

pytestmark = pytest.mark.long  # of a supernet that is trained for them
MakeJob = Callable[..., Job]
FEW = {"epochs": 0.5, "batch": 32}
RECIPE = Recipe(epochs=1, batch=32, lr=0.1)


@pytest.fixture(scope="module")
def folder(tiny_space: SearchSpace, digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a trained supernet, and one trained network."""
    folder = tmp_path_factory.mktemp("run")
    job = job_in(folder, tiny_space, digits)
    train_supernet(job)
    retrain(job, tiny_space.all_same("choice_3"))
    return folder


@pytest.fixture
def make_job(folder: Path, tiny_space: SearchSpace, digits: Data) -> MakeJob:
    return lambda **flags: job_in(folder, tiny_space, digits, **flags)


def job_in(folder: Path, space: SearchSpace, data: Data, **retrain_flags: Any) -> Job:
    flags = {"threads": 1, "workers": 0, "data": "digits", "holdout_per_class": 20, "search.bn_images": 256}
    retrain_flags = {f"retrain.{name}": value for name, value in {"changes": FEW, **retrain_flags}.items()}
    config = parse_config(
        preset_text("quick"), flags | {"train.changes": {"epochs": 4, "batch": 32}} | retrain_flags, "test"
    )
    return Job(config, space, data, Run(folder), Quiet())


def network_of(job: Job, arch: Architecture, seed: int = 0) -> Network:
    net = Network(job.space, arch, STANDALONE)
    StartingPoint(job).initialize(net, arch, seed)
    return net


def test_a_network_starts_with_the_weights_of_the_supernet(make_job: MakeJob) -> None:
    job = make_job(start_from="supernet")
    arch, inputs = job.space.all_same("choice_5"), torch.randn(8, 1, job.space.size_px, job.space.size_px)
    net, supernet = network_of(job, arch), load_supernet(job)
    torch.testing.assert_close(net.train()(inputs), supernet.train()(inputs, arch))
    random = network_of(make_job(), arch)
    assert not torch.equal(random.stem[0].weight, net.stem[0].weight)  # type: ignore[index]


def test_a_network_starts_with_the_weights_of_a_file(make_job: MakeJob, folder: Path) -> None:
    arch = make_job().space.all_same("choice_3")
    path = Run(folder).retrain(arch) / "best.pt"
    net = network_of(make_job(start_from=str(path)), arch)
    expected = torch.load(path, weights_only=True)["model"]
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter.detach(), expected[name]), name


def test_weights_of_another_network_are_refused_with_three_differences(make_job: MakeJob, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"stem.0.weight": torch.zeros(1, 1, 3, 3), "fc.weight": torch.zeros(2)}, path)
    with pytest.raises(BadCheckpoint) as caught:
        network_of(make_job(start_from=str(path)), make_job().space.all_same("choice_3"))
    text = str(caught.value)
    assert "does not fit the network: stem.1.weight is missing; stem.1.bias is missing; " in text
    assert text.count(" is missing") == 3
    assert "Give weights of the same architecture" in text


def test_a_missing_supernet_is_named_with_its_command(
    tiny_space: SearchSpace, digits: Data, tmp_path: Path, make_job: MakeJob
) -> None:
    for flags in ({"start_from": "supernet"}, {"teacher": "supernet"}):
        with pytest.raises(MissingStage, match="Run nastool train --run r first"):
            StartingPoint(job_in(tmp_path / "r", tiny_space, digits, **flags))


def test_the_teacher_is_the_largest_network_recalibrated(make_job: MakeJob) -> None:
    job = make_job(teacher="supernet")
    teacher = StartingPoint(job).teacher(RECIPE)
    assert teacher is not None
    largest = most_expensive_of(job.space, default_cost(job.space))
    images = job.data.train.fetch(job.data.holdout)
    logits = teacher.forward(job.data.preprocessing(images))
    accuracy = (logits.argmax(1) == job.data.train.labels[torch.tensor(job.data.holdout)]).float().mean()
    assert accuracy > 0.3  # ten classes: a network without statistics guesses at 0.1, standard error 0.02
    net = teacher.forward
    assert isinstance(net, Network)
    assert not net.training
    assert all(not parameter.requires_grad for parameter in net.parameters())
    assert sum(p.numel() for p in net.parameters()) == sum(
        p.numel() for p in load_supernet(job).extract(largest).parameters()
    )
    assert StartingPoint(make_job()).teacher(RECIPE) is None


def test_origin_and_teacher_are_part_of_the_fingerprint(make_job: MakeJob, folder: Path) -> None:
    """Another origin would silently be another training; without them nothing is stored, as in earlier versions."""
    arch = make_job().space.all_same("choice_x")
    few = {"changes": {"epochs": 0.1, "batch": 32}}
    result = retrain(make_job(start_from="supernet", teacher="supernet", **few), arch)
    assert result.fingerprint["start_from"] == result.fingerprint["teacher"]
    assert len(str(result.fingerprint["start_from"])) == 64
    with pytest.raises(BadCheckpoint, match=r"start_from was '[0-9a-f]{64}' and is now None"):
        retrain(make_job(**few), arch)
    with pytest.raises(BadCheckpoint, match=r"teacher was '[0-9a-f]{64}' and is now None"):
        retrain(make_job(start_from="supernet", **few), arch)
    plain = retrain(make_job(), make_job().space.all_same("choice_3"))
    assert {"start_from", "teacher"} & set(plain.fingerprint) == set()


def test_rankings_train_from_scratch(make_job: MakeJob) -> None:
    job = make_job(start_from="supernet", teacher="supernet").from_scratch()
    assert (job.config.retrain.start_from, job.config.retrain.teacher) == ("scratch", None)


def test_the_loss_of_a_teacher() -> None:
    """Written out: (1 - share) of the labels' loss, and T^2 times the cross-entropy of the softened predictions."""
    generator = torch.Generator().manual_seed(0)
    inputs, logits = (torch.randn(4, 5, generator=generator) for _ in range(2))
    frozen = nn.Linear(5, 5)
    of_labels = F.cross_entropy(logits, torch.tensor([0, 1, 2, 3]))
    loss = Teacher(frozen, share=0.3, temperature=4.0).loss(inputs, logits, of_labels)
    with torch.no_grad():
        targets = (frozen(inputs) / 4).softmax(1)
    soft = -(targets * (logits / 4).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, 0.7 * of_labels + 0.3 * 16 * soft)


def test_finalists_start_from_the_supernet_of_the_run(make_job: MakeJob) -> None:
    """Their trainings have folders and seeds of their own, and the supernet has neither."""
    arch, few = make_job().space.all_same("choice_5"), {"epochs": 0.2, "batch": 32, "lr": 0.01}
    warm, cold = (
        Trainings(make_job(changes=few, **origin))(arch, 1, "finalist").correct.mean()
        for origin in ({"start_from": "supernet", "teacher": "supernet"}, {})
    )
    assert warm > cold + 0.1


def test_weights_of_the_model_of_a_space_are_sliced(digits: Data, tmp_path: Path) -> None:
    space = model_space("model:torchvision:resnet18:size_px=32,classes=10,in_channels=1,widths=0.5-1.0")
    torch.save(space.builder.model.state_dict(), tmp_path / "theirs.pt")
    job = job_in(tmp_path, space, digits, start_from=str(tmp_path / "theirs.pt"))
    narrow = space.architecture([1] * len(space.blocks))
    net = Network(space, narrow, STANDALONE)
    StartingPoint(job).initialize(net, narrow, seed=0)
    kept = space.builder.model.get_parameter("layer1.0.conv1.weight").flatten(1).norm(dim=1).topk(32).values
    weight = net.get_parameter("blocks.0.conv1.weight")
    torch.testing.assert_close(weight.flatten(1).norm(dim=1), kept)
