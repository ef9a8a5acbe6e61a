"""int8 graphs of modules that are to be timed, written by the quantizers of `nastool export --precision int8`.

Layers of 1 to 4 bits become 8-bit containers, and layers in float beside them stay in float, as in the exported file. A
module without such layers is quantized as a whole. Ranges come from random inputs: latency does not depend on them.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from exporters.graph.onnx_file import load_model
from exporters.graph.to_onnx import export_onnx
from exporters.graph.walker import GraphWalker
from exporters.quantize.int8 import quantize
from exporters.quantize.layers import product_nodes
from exporters.quantize.qcdq import write_codes
from toolchain.nets.deploy import dequantized, integer_layers
from toolchain.nets.network import Network

IMAGES = 2


def as_inside(module: nn.Module) -> nn.Module:
    """`module` as it is quantized behind a block that ends in a ReLU; unchanged if it has no layer to quantize."""
    has_layers = any(isinstance(layer, nn.Conv2d | nn.Linear) for layer in module.modules())
    return AfterReLU(module) if has_layers else module


@torch.no_grad()
def ends_in_relu(block: nn.Module, input_shape: tuple[int, int, int]) -> bool:
    """Whether a block has no negative output for an input without negative values."""
    outputs: Tensor = block.eval()(torch.rand((1, *input_shape), generator=torch.Generator().manual_seed(0)))
    return bool(outputs.min() >= 0)


class AfterReLU(nn.Module):
    """A module with a ReLU before it, which quantizers replace by the rounding of its input.

    Between blocks that end in a ReLU, tensors are uint8; a block alone would get an int8 input.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.before = nn.ReLU()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.module(self.before(x))
        return result


def int8_graph(module: nn.Module, input_shape: tuple[int, int, int], path: Path) -> onnx.ModelProto:
    """The graph of `module` (initialized, in eval mode) with 8-bit layers; in float if it has none to quantize.

    The outputs of a part of a network are rounded as well, as between its layers; those of a whole network are logits.

    Args:
        path: of a temporary file.
    """
    images = np.random.default_rng(0).standard_normal((IMAGES, *input_shape), dtype=np.float32)
    layers = integer_layers(module)
    export_onnx(dequantized(module) if layers else module, torch.from_numpy(images), path)
    floats = load_model(path)
    if layers:
        return write_codes(floats, layers, images)
    if not product_nodes(GraphWalker(floats.graph)):
        return floats
    return quantize(floats, images, quantize_outputs=not isinstance(module, Network))
