"""The device whose latency is known."""

from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.fake import NS_PER_MAC, NS_PER_NODE, Backend
from exporters.to_onnx import export_onnx


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "part.onnx"
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(64, 5))
    export_onnx(net, torch.zeros(2, 3, 6, 6), path)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "whole.onnx"
    export_onnx(nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(16)]), torch.zeros(2, 3, 4, 4), path)
    return path


def ms(backend: Backend, file: Path, batch: int = 8) -> float:
    return backend.compile(file, CompileSpec(batch)).time(1.0).wall_ms_min


@pytest.mark.parametrize("batch", [1, 8])
def test_costs_its_macs_and_nodes(part: Path, batch: int) -> None:
    macs = batch * (4 * 4 * 4 * 3 * 3 * 3 + 64 * 5)
    nodes = 3  # Conv, Reshape, Gemm
    assert ms(Backend(), part, batch) == pytest.approx((macs * NS_PER_MAC + nodes * NS_PER_NODE) / 1e6)


def test_whole_networks_can_be_slower_than_their_parts(part: Path, whole: Path) -> None:
    assert ms(Backend(scale_whole=1.5), whole) == pytest.approx(1.5 * ms(Backend(), whole))
    assert ms(Backend(scale_whole=1.5), part) == ms(Backend(), part)


def test_noise_slows_calls_and_comes_from_the_seed(part: Path) -> None:
    noisy = [Backend(noise=0.1, seed=seed).compile(part, CompileSpec(8)) for seed in (0, 0, 1)]
    timing, again, other = (compiled.time(1.0) for compiled in noisy)
    assert ms(Backend(), part) < timing.wall_ms_min < timing.wall_ms_median
    assert timing == again
    assert timing != other
