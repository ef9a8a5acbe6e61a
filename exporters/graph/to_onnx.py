"""PyTorch module -> ONNX file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import onnx
import torch
from torch import Tensor, nn

from exporters.errors import ExportFailed
from exporters.graph.clamps import replace_relu6
from exporters.graph.folding import fold_batch_norm
from exporters.graph.half import Half
from exporters.graph.interface import INPUT, OPSET, OUTPUT
from exporters.graph.onnx_file import NO_METADATA, write_model
from exporters.graph.torch_exporter import quick, quiet

Precision = Literal["fp32", "fp16"]


def export_onnx(
    module: nn.Module,
    example: Tensor,
    path: Path,
    metadata: Mapping[str, str] = NO_METADATA,
    precision: Precision = "fp32",
) -> None:
    """Write `module` as one ONNX file with a dynamic batch, its batch normalization folded.

    Args:
        module: takes `images` (N, C, H, W) and returns one tensor, `logits`; it is left as it was.
        example: an input (N, C, H, W) of any batch size; its values do not matter.
        metadata: text that travels in the file.
        precision: of weights and sums; images and logits are float32 in any.

    Raises:
        ExportFailed: the module cannot be exported.
        OSError: the file cannot be written; what was there stays.
    """
    folded = fold_batch_norm(module)
    replace_relu6(folded)
    write_model(_to_model(Half(folded) if precision == "fp16" else folded, example), path, metadata)


def _to_model(module: nn.Module, example: Tensor) -> onnx.ModelProto:
    if len(example) == 1:  # torch would take a batch of 1 for a constant
        example = torch.cat((example, example))
    with quiet(), quick():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                verbose=False,
            )
        except Exception as problem:  # the exporter passes on whatever its passes raise
            raise ExportFailed(
                f"torch cannot export this {type(module).__name__}: {problem}\nIts forward must be traceable "
                f"with a dynamic batch: no branches on values, no batch size written as a number"
            ) from problem
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, model.graph):
        del part.metadata_props[:]  # where in whose folders each node was traced: as large as the weights, and private
    return model
