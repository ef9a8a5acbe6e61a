"""Export of a module that is to be timed: with random weights, in the form in which it would ship."""

from pathlib import Path

import torch
from torch import nn

from exporters.graph.folding import fold_batch_norm
from exporters.graph.to_onnx import export_onnx
from toolchain.nets.network import Network, initialize


def export_for_timing(
    module: nn.Module, input_shape: tuple[int, int, int], path: Path, precision: str = "fp32"
) -> None:
    """Export `module` with random weights, since latency does not depend on their values.

    In fp16 the inputs and outputs of a block variant are fp16 as well, as between the blocks of a network. A whole
    network takes float32 images and returns float32 logits.
    """
    initialize(module, torch.Generator().manual_seed(0))
    example = torch.zeros(2, *input_shape)
    if precision == "fp16" and isinstance(module, Network):
        export_onnx(module.eval(), example, path, precision="fp16")
        return
    if precision == "fp16":
        module, example = fold_batch_norm(module).half(), example.half()  # folded in fp32, which is exact
    export_onnx(module.eval(), example, path)
