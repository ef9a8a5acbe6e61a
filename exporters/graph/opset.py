"""The opset of a model, and its conversion to an earlier one for runtimes that read no later one."""

import onnx
from onnx import helper, version_converter

from exporters.errors import ExportFailed, first_line


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def in_opset(model: onnx.ModelProto, opset: int, name: str) -> onnx.ModelProto:
    """The same model in an earlier opset; `model` stays as it is.

    Args:
        name: of the file, for messages.

    Raises:
        ExportFailed: an operator has no equivalent in that opset.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.op_type.startswith("Reduce"):  # the converter refuses this attribute, which at 0 has no effect
            kept = [a for a in node.attribute if a.name != "noop_with_empty_axes" or a.i]
            del node.attribute[:]
            node.attribute.extend(kept)
    try:
        converted = version_converter.convert_version(copy, opset)
        earliest = helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
        converted.ir_version = min(converted.ir_version, earliest)
        onnx.checker.check_model(converted)
    except Exception as problem:  # the converter and the checker document no set of errors
        raise ExportFailed(
            f"{name} cannot be converted to opset {opset}: {first_line(problem)}. Use a current TensorRT, or run the "
            f"file with --backend onnxruntime"
        ) from None
    return converted
