"""Does a runtime compute the integers that a quantized file says? Layer by layer, on codes from real images.

Each convolution is cut out of the file, with the rounding before and behind it, and run in ONNX Runtime, which fuses
the piece to one integer kernel as it does in the whole. Its output codes are computed again from its input codes, in
whole numbers. So an error of one layer is not hidden by the next, and not blown up by it either: a low-bit network
turns one flipped code into many.

(The codes can't be read out of the whole file: a tensor that is an output is no longer fused away, and then it is
another kernel that is looked at.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch.nn import functional as F

from exporters.graph.onnx_file import load_model
from exporters.quantize.qdq import attribute

RANGES = {np.dtype(np.uint8): (0, 255), np.dtype(np.int8): (-128, 127)}


@dataclass(frozen=True)
class Checked:
    """One layer: how many of its output codes are not the reference's, of how many; and by how much, at most."""

    name: str
    op: str
    wrong: int
    codes: int
    most_off: int


@dataclass(frozen=True)
class _Rounding:
    """QuantizeLinear, perhaps a Clip, and a DequantizeLinear."""

    nodes: tuple[NodeProto, ...]
    scale: np.float32
    least: int
    most: int

    def codes(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """The codes of what this gave: values on its grid."""
        found: NDArray[np.int64] = np.rint(values / self.scale).astype(np.int64)
        return found


@dataclass(frozen=True)
class _Piece:
    """A convolution or a sum, the roundings of what it takes, and the one of what it gives."""

    node: NodeProto
    taken: tuple[_Rounding, ...]
    given: _Rounding


class _File:
    """A quantized graph, and the pieces in it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.producer = {name: node for node in model.graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def pieces(self) -> Iterator[_Piece]:
        for node in self.model.graph.node:
            if node.op_type not in ("Conv", "Add"):
                continue
            taken = [self._rounding_to(name) for name in node.input[: 1 if node.op_type == "Conv" else 2]]
            given = self._rounding_of(node.output[0])
            if given is not None and all(taken):
                yield _Piece(node, tuple(rounding for rounding in taken if rounding is not None), given)

    def _rounding_to(self, name: str) -> _Rounding | None:
        """What ends in `name`."""
        nodes: list[NodeProto] = []
        node = self.producer.get(name)
        for op in ("DequantizeLinear", "Clip", "QuantizeLinear"):
            if node is not None and node.op_type == op:
                nodes.insert(0, node)
                node = self.producer.get(node.input[0])
        return self._rounding(nodes)

    def _rounding_of(self, name: str) -> _Rounding | None:
        """What begins with `name`, if all who read it read it rounded."""
        nodes: list[NodeProto] = []
        readers = self.readers.get(name, [])
        for op in ("QuantizeLinear", "Clip", "DequantizeLinear"):
            if len(readers) == 1 and readers[0].op_type == op:
                nodes.append(readers[0])
                readers = self.readers.get(readers[0].output[0], [])
        return self._rounding(nodes)

    def _rounding(self, nodes: Sequence[NodeProto]) -> _Rounding | None:
        if not nodes or nodes[0].op_type != "QuantizeLinear" or nodes[-1].op_type != "DequantizeLinear":
            return None
        least, most = RANGES[self.values[nodes[0].input[2]].dtype]
        if len(nodes) == 3:
            least, most = (int(self.values[name]) for name in nodes[1].input[1:])
        return _Rounding(tuple(nodes), np.float32(self.values[nodes[0].input[1]]), least, most)

    def cut(self, piece: _Piece) -> onnx.ModelProto:
        """The piece as a model of its own: float32 in, float32 out."""
        weights = [self.producer[name] for name in piece.node.input[1:2] if piece.node.op_type == "Conv"]
        nodes = [*(node for rounding in piece.taken for node in rounding.nodes), *weights, piece.node]
        nodes += piece.given.nodes
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            "piece",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.starts(piece)],
            [helper.make_tensor_value_info(piece.given.nodes[-1].output[0], TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in self.values.items() if name in used],
        )
        return helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)

    @staticmethod
    def starts(piece: _Piece) -> list[str]:
        """What the piece begins with: the tensors that its inputs are rounded from."""
        return list(dict.fromkeys(str(rounding.nodes[0].input[0]) for rounding in piece.taken))


def check_codes(path: Path, images: NDArray[np.float32]) -> tuple[Checked, ...]:
    """Check each convolution and sum of the file that lies between codes, on what `images` (N, C, H, W) make of it.

    Raises:
        NotOnnx: the file can't be read.
    """
    model = load_model(path)
    file = _File(model)
    pieces = list(file.pieces())
    if not pieces:
        return ()
    (image_input,) = model.graph.input
    names = sorted({name for piece in pieces for name in file.starts(piece)} - {image_input.name})
    told = onnx.ModelProto()
    told.CopyFrom(model)
    for name in names:
        told.graph.output.add(name=name)
    found = _session(told).run(names, {image_input.name: images}) if names else []  # an empty list would mean all
    values = dict(zip(names, found, strict=True))
    values[image_input.name] = images
    return tuple(_check(file, piece, values) for piece in pieces)


def cut_out(path: Path) -> Iterator[onnx.ModelProto]:
    """The pieces that `check_codes` runs, each a model of its own."""
    file = _File(load_model(path))
    return (file.cut(piece) for piece in file.pieces())


def _check(file: _File, piece: _Piece, values: dict[str, NDArray[np.float32]]) -> Checked:
    feeds = {name: values[name] for name in file.starts(piece)}
    (given,) = _session(file.cut(piece)).run(None, feeds)
    taken = [_round(rounding, feeds[str(rounding.nodes[0].input[0])]) for rounding in piece.taken]
    exact = _convolved(file, piece, *taken) if piece.node.op_type == "Conv" else _added(piece, *taken)
    wanted = np.rint(exact).clip(piece.given.least, piece.given.most).astype(np.int64)
    off = np.abs(wanted - piece.given.codes(given))
    return Checked(str(piece.node.input[1]), str(piece.node.op_type), int((off > 0).sum()), off.size, int(off.max()))


def _round(rounding: _Rounding, values: NDArray[np.float32]) -> NDArray[np.int64]:
    """QuantizeLinear and Clip."""
    found: NDArray[np.int64] = np.rint(values / rounding.scale).clip(rounding.least, rounding.most).astype(np.int64)
    return found


def _convolved(file: _File, piece: _Piece, x: NDArray[np.int64]) -> NDArray[np.float32]:
    """Whole sums, and one float32 multiplication: what ONNX's QLinearConv is defined as."""
    node = piece.node
    weight = file.producer[node.input[1]]
    codes, w_scale = file.values[weight.input[0]], file.values[weight.input[1]]
    step = piece.taken[0].scale * w_scale
    pads, strides, dilations = (_pair(node, name, n) for name, n in (("pads", 0), ("strides", 1), ("dilations", 1)))
    x_codes, w_codes = (torch.from_numpy(array.astype(np.float64)) for array in (x, codes))
    sums = F.conv2d(x_codes, w_codes, None, strides, pads, dilations, attribute(node, "group", 1)).numpy()
    if len(node.input) > 2:
        sums += np.rint(file.values[node.input[2]] / step).reshape(-1, 1, 1)
    factor = (step / piece.given.scale).astype(np.float32)
    exact: NDArray[np.float32] = sums.astype(np.float32) * factor.reshape(-1, 1, 1)
    return exact


def _added(piece: _Piece, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float32]:
    first, second = (codes.astype(np.float32) * r.scale for codes, r in zip((a, b), piece.taken, strict=True))
    return np.asarray((first + second) / piece.given.scale, np.float32)


def _pair(node: NodeProto, name: str, default: int) -> tuple[int, int]:
    """Of an attribute in height and width (padding is the same on both sides), or the default."""
    for found in node.attribute:
        if found.name == name:
            return int(found.ints[0]), int(found.ints[1])
    return default, default


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
