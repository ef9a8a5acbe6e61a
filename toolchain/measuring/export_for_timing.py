"""Export of a module that is to be timed: with random weights, in the form in which it would ship."""

from pathlib import Path

import torch
from torch import nn

from exporters.graph.folding import fold_batch_norm
from exporters.graph.onnx_file import write_model
from exporters.graph.to_onnx import export_onnx
from exporters.quantize.tensorrt_form import tensorrt_form
from toolchain.measuring.export_int8 import int8_graph
from toolchain.measuring.space_precision import CONTAINER, INT8_FP16
from toolchain.nets.network import Network, initialize


def export_for_timing(
    module: nn.Module, input_shape: tuple[int, int, int], path: Path, precision: str = "fp32"
) -> None:
    """Export `module` with random weights, since latency does not depend on their values.

    In int8 the graph is that of `export_int8`; `precision` fp32 keeps a float part of a low-bit network in float. In
    fp16 and int8_fp16 the inputs and outputs of a block variant are fp16 as well, as between the blocks of a network.
    A whole network takes float32 images and returns float32 logits.
    """
    whole = isinstance(module, Network)
    initialize(module, torch.Generator().manual_seed(0))
    if precision in (CONTAINER, INT8_FP16):
        graph = int8_graph(module.eval(), input_shape, path)
        write_model(tensorrt_form(graph, float32_ends=whole) if precision == INT8_FP16 else graph, path)
        return
    example = torch.zeros(2, *input_shape)
    if precision == "fp16" and whole:
        export_onnx(module.eval(), example, path, precision="fp16")
        return
    if precision == "fp16":
        module, example = fold_batch_norm(module).half(), example.half()  # folded in fp32, which is exact
    export_onnx(module.eval(), example, path)
