"""Published networks at their published size, exported: any batch size, and the same outputs as torch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from exporters.backends import CompileSpec
from exporters.backends.onnxruntime import Backend
from exporters.graph.onnx_file import load_model, write_model
from exporters.graph.optimized import convolutions
from exporters.graph.parity import compare, require
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.integer_check import check_integer_layers
from exporters.quantize.qcdq import write_codes
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.deploy import dequantized, integer_layers
from toolchain.nets.network import Network, initialize
from toolchain.nets.published import published
from toolchain.spaces import load_space

pytestmark = pytest.mark.long

BATCHES = (1, 2, 4, 32)


def images(count: int, seed: int) -> torch.Tensor:
    """Smooth images like photographs. Noise in single pixels would average out within a few layers."""
    coarse = torch.randn(count, 3, 28, 28, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")


def populated(net: Network) -> Network:
    """The network with populated BN statistics and random scales and offsets."""
    generator = torch.Generator().manual_seed(0)
    initialize(net, generator)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.2, generator=generator)
            nn.init.normal_(layer.bias, 0.0, 0.2, generator=generator)
            layer.momentum = None  # a cumulative mean
    with torch.no_grad():
        for seed in range(3):
            net.train()(images(16, seed))
    return net.eval()


def test_the_papers_block_search_network_at_224_px(tmp_path: Path) -> None:
    """319M MACs, 74.3 % on ImageNet (paper Table 3, block search)."""
    network = published("spos_blocks")
    space = load_space(network.space)
    net = populated(Network(space, space.architecture(network.architecture), STANDALONE))
    file = tmp_path / "spos_blocks.onnx"
    export_onnx(net, torch.zeros(1, *space.input_shape), file)
    assert onnx.load(file).graph.input[0].type.tensor_type.shape.dim[0].dim_param
    compiled = Backend().compile(file, CompileSpec(batch=1))
    for batch in BATCHES:
        parity = compare(net, compiled, images(batch, 100 + batch).numpy(), batches=(batch,))
        assert parity.relative_error < 1e-4
        require(parity)


def test_resnet18_of_mixed_bits_at_224_px(tmp_path: Path) -> None:
    """All 16 convolutions of the blocks and the 3 on shortcuts run in integers, and every code is correct."""
    space = load_space("resnet18_bits")
    bits = ("w4a4", "w2a4", "w3a4", "w2a2", "w1a4", "w4a4", "w2a4", "w1a2")
    net = populated(Network(space, space.architecture([f"basic:{pair}" for pair in bits]), STANDALONE))
    pictures = images(8, 200).numpy()
    export_onnx(dequantized(net), torch.zeros(1, *space.input_shape), tmp_path / "plain.onnx")
    layers = integer_layers(net)
    write_model(write_codes(load_model(tmp_path / "plain.onnx"), layers, pictures), tmp_path / "int8.onnx")
    assert len(layers) == 19
    assert convolutions(tmp_path / "int8.onnx") == {"int8": 19, "fp32": 1}
    checked = check_integer_layers(load_model(tmp_path / "int8.onnx"), pictures[:2])
    assert [layer.wrong for layer in checked if layer.op == "Conv"] == [0] * 19
    assert sum(layer.op == "Add" for layer in checked) == 8
    outputs = Backend().compile(tmp_path / "int8.onnx", CompileSpec(1, precision="mixed")).run({"images": pictures})
    assert np.isfinite(outputs["logits"]).all()
