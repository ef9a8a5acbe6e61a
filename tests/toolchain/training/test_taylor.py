"""Channels sorted by the change of the loss without them: against finite differences, and the same function."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolchain.config import parse_config, preset_text
from toolchain.errors import BadCheckpoint, BadConfig
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.derive import model_space
from toolchain.nets.model_space.weights import ModelWeights, builder_of_model, initial_weights, network_state
from toolchain.nets.network import Network
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.model_source import full_architecture
from toolchain.training.accuracy import fixed_batches, recalibration_indices
from toolchain.training.data import Data, load_data
from toolchain.training.job import Job
from toolchain.training.preflight import check_train
from toolchain.training.supernet_training import initial_supernet
from toolchain.training.taylor import BATCH, IMAGES, sorted_by_taylor

NORM, FIRST = "blocks.0.norm", "blocks.0.first.weight"  # of the one group of the first block
STEP = 1e-4
MODEL = """
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(8, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24)
        self.second = nn.Conv2d(24, 8, 3, padding=1)

    def forward(self, x):
        return x + self.second(self.norm(self.first(x)).relu())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Sequential(Block(), Block())
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 10)

    def forward(self, x):
        return self.fc(self.pool(self.blocks(self.stem(x))).flatten(1))


def build(size_px=16, in_channels=1, classes=10):
    return Net()
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> SearchSpace:
    file = tmp_path_factory.mktemp("model") / "net.py"
    file.write_text(MODEL)
    return model_space(f"model:{file}:build:size_px=16,in_channels=1,classes=10")


@pytest.fixture(scope="module")
def small_digits(space: SearchSpace) -> Data:
    return load_data("digits", space, 20, 0)


@pytest.fixture
def job(space: SearchSpace, small_digits: Data, tmp_path: Path) -> Job:
    flags = {"threads": 1, "workers": 0, "data": "digits", "holdout_per_class": 20, "train.device": "cpu"}
    return Job(parse_config(preset_text("shrink"), flags, "test"), space, small_digits, Run(tmp_path), Quiet())


def test_order_is_that_of_the_squared_slope_of_the_loss_if_a_channel_is_scaled(job: Job) -> None:
    before = initial_weights(job.space)
    after = sorted_by_taylor(job, before)
    assert not torch.equal(before.values[FIRST], after.values[FIRST])
    first, middle, last = (_squared_slope(job, after, channel) for channel in (0, 12, 23))
    assert first > middle > last


def test_the_network_computes_the_same_function(job: Job) -> None:
    weights, outputs = initial_weights(job.space), []
    images = torch.randn(2, *job.space.input_shape, generator=torch.Generator().manual_seed(0))
    for each in (weights, sorted_by_taylor(job, weights)):
        net = Network(job.space, full_architecture(job.space), STANDALONE).eval()
        net.load_state_dict(network_state(job.space, each))
        outputs.append(net(images))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)


def test_configured_importance_is_the_order_in_the_supernet(job: Job, tmp_path: Path) -> None:
    builder = builder_of_model(job.space)
    assert builder is not None
    torch.save(builder.model.state_dict(), tmp_path / "model.pt")
    by_magnitude = initial_weights(job.space)
    for importance, expected in (("magnitude", by_magnitude), ("taylor", sorted_by_taylor(job, by_magnitude))):
        training = job.config.train.model_copy(update={"start_from": tmp_path / "model.pt", "importance": importance})
        supernet = initial_supernet(replace(job, config=job.config.model_copy(update={"train": training})))
        value = dict(supernet.named_parameters())["blocks.0.ops.block.first.weight"]
        assert torch.equal(value, expected.values[FIRST])


def test_a_model_that_is_not_trained_for_the_images_is_refused(job: Job) -> None:
    weights = replace(initial_weights(job.space), notes=("the classifier fc begins with new weights",))
    with pytest.raises(BadCheckpoint, match=r"the classifier fc begins with new weights.*leave out --importance"):
        sorted_by_taylor(job, weights)


def test_taylor_without_the_weights_of_a_model_is_refused(job: Job, tiny_space: SearchSpace, tmp_path: Path) -> None:
    def check(start_from: Path | None, space: SearchSpace) -> None:
        training = job.config.train.model_copy(update={"importance": "taylor", "start_from": start_from})
        check_train(job.config.model_copy(update={"train": training}), space)

    builder = builder_of_model(job.space)
    assert builder is not None
    weights = builder.model.state_dict()
    torch.save(weights, tmp_path / "model.pt")
    check(tmp_path / "model.pt", job.space)
    for space in (job.space, tiny_space):
        with pytest.raises(BadConfig, match="Give a space model:SOURCE and its weights"):
            check(None, space)
    narrower = model_space(f"{job.space.name},between=0.5,round_to=4")
    with pytest.raises(BadConfig, match="between removes some of them first"):
        check(tmp_path / "model.pt", narrower)
    head = next(name for name, value in weights.items() if value.ndim == 2)
    other = {
        name: value[:7] if name.startswith(head.removesuffix("weight")) else value for name, value in weights.items()
    }
    torch.save(other, tmp_path / "other.pt")
    with pytest.raises(BadCheckpoint, match=r"7 classes.*leave out --importance"):
        check(tmp_path / "other.pt", job.space)


def _squared_slope(job: Job, weights: ModelWeights, channel: int) -> float:
    """The mean over batches of the squared slope, by central differences in float64."""
    builder, data = builder_of_model(job.space), job.data
    assert builder is not None
    model = copy.deepcopy(builder.model)
    model.load_state_dict(dict(weights.values))
    model.double().eval()
    squares = []
    drawn = recalibration_indices(data, IMAGES, BATCH, job.config.seed)
    for pixels, labels in fixed_batches(data.train, drawn, BATCH):
        images = data.preprocessing(pixels).double()
        below, above = (_loss(model, channel, scale, images, labels) for scale in (1 - STEP, 1 + STEP))
        squares.append(((above - below) / (2 * STEP)) ** 2)
    return sum(squares) / len(squares)


@torch.no_grad()
def _loss(model: nn.Module, channel: int, scale: float, images: Tensor, labels: Tensor) -> float:
    norm = model.get_submodule(NORM)
    assert isinstance(norm, nn.BatchNorm2d)
    before = norm.weight[channel].clone(), norm.bias[channel].clone()
    norm.weight[channel] *= scale
    norm.bias[channel] *= scale
    loss = float(F.cross_entropy(model(images), labels))
    norm.weight[channel], norm.bias[channel] = before
    return loss
