"""Rounds from the device whose latency is known."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.fake import Backend, latency_ms
from exporters.graph.to_onnx import export_onnx
from exporters.timing import interleaved
from latency_db.table import Sample
from toolchain.config import Config

Rounds = Iterator[dict[str, Sample]]


@pytest.fixture(scope="session")
def deep_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole network, by the fake device's count of convolutions, so that `scale_whole` works on it."""
    path = tmp_path_factory.mktemp("onnx") / "deep.onnx"
    net = nn.Sequential(*[nn.Conv2d(1 if i == 0 else 4, 4, 1) for i in range(17)], nn.Flatten())
    export_onnx(net, torch.zeros(2, 1, 4, 4), path)
    return path


@pytest.fixture(scope="session")
def pairs(deep_file: Path) -> Callable[..., Rounds]:
    """`pairs(noise=0.03, slower_by=0.05, seed=7)`: endless rounds of a file and of the same one, made slower."""

    def rounds(noise: float, slower_by: float, seed: int) -> Rounds:
        spec = CompileSpec(batch=8)
        sessions = {
            "candidate": Backend(scale_whole=1 + slower_by, noise=noise, seed=2 * seed).compile(deep_file, spec),
            "baseline": Backend(noise=noise, seed=2 * seed + 1).compile(deep_file, spec),
        }
        for _, timings in interleaved(sessions, range(10_000), 1.0, seed):
            yield {key: Sample(**vars(timing)) for key, timing in timings.items()}

    return rounds


@pytest.fixture
def config(tiny_config: Config) -> Config:
    return tiny_config.model_copy(update={"profile": tiny_config.profile.model_copy(update={"backend": "fake"})})


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(nn.Sequential(nn.Conv2d(1, 64, 3), nn.Flatten()), torch.zeros(2, 1, 34, 34), path)
    return path


@pytest.fixture
def ms(file: Path, config: Config) -> float:
    return latency_ms(file, config.profile.batch)
