"""Narrower and skipped blocks of a model in ONNX Runtime: the same logits, and less time."""

from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import onnxruntime
import pytest
import torch

from exporters.graph.to_onnx import export_onnx
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.derive import model_space
from toolchain.nets.model_space.weights import initial_weights, network_state
from toolchain.nets.network import Network
from toolchain.spaces.core import SearchSpace

pytestmark = pytest.mark.long
ROUNDS = 15


def session(space: SearchSpace, key: str, folder: Path) -> tuple[onnxruntime.InferenceSession, Network]:
    """The network that takes `key` wherever it is offered, and its file in ONNX Runtime on one thread."""
    keys = [key if key in block.by_key else block.choices[0].key for block in space.blocks]
    arch = space.architecture(keys)
    net = Network(space, arch, STANDALONE).eval()
    net.load_state_dict(network_state(space, initial_weights(space), arch))
    path = folder / f"{key}.onnx"
    export_onnx(net, torch.randn(2, *space.input_shape), path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]), net


def seconds(running: onnxruntime.InferenceSession, images: np.ndarray) -> float:
    start = perf_counter()
    running.run(None, {"images": images})
    return perf_counter() - start


@pytest.mark.parametrize(
    ("name", "full", "narrow"),
    [
        ("resnet18", "basicblock", "basicblock@0.25"),
        ("mobilenet_v2", "invertedresidual", "invertedresidual@0.25"),
        ("efficientnet_b0", "mbconv", "mbconv@0.25"),
        ("regnet_y_400mf", "resbottleneckblock", "resbottleneckblock@0.25"),
        ("convnext_tiny", "cnblock", "cnblock@0.25"),
    ],
)
def test_narrower_and_skipped_blocks_are_faster(name: str, full: str, narrow: str, tmp_path: Path) -> None:
    space = model_space(f"model:torchvision:{name}:size_px=96,classes=10,widths=0.25-1.0")
    networks = {key: session(space, key, tmp_path) for key in (full, narrow, "skip")}
    images = np.random.default_rng(0).standard_normal((4, *space.input_shape), np.float32)
    for running, net in networks.values():
        with torch.no_grad():
            expected = net(torch.from_numpy(images)).numpy()
        (actual,) = running.run(None, {"images": images})
        assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()
    rounds = [{key: seconds(running, images) for key, (running, _) in networks.items()} for _ in range(ROUNDS)]
    times = {key: median(one[key] for one in rounds) for key in networks}
    assert times[narrow] < 0.85 * times[full]
    assert times["skip"] < 0.85 * times[full]
