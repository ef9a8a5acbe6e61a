"""The values of tensors inside a graph, computed by ONNX Runtime."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

Values = Mapping[str, NDArray[np.float32]]


class TensorValues:
    """Runs a graph and returns the tensors `names`, of which its input may be one."""

    def __init__(self, model: onnx.ModelProto, names: Iterable[str]) -> None:
        (image_input,) = model.graph.input
        self._input = image_input.name
        self._computed = [name for name in names if name != self._input]
        with_outputs = onnx.ModelProto()
        with_outputs.CopyFrom(model)
        for name in self._computed:
            with_outputs.graph.output.add(name=name)
        self._session = session_of(with_outputs)

    def of(self, images: NDArray[np.float32]) -> Values:
        """The values for one batch of inputs (N, C, H, W), by name."""
        # with an empty list of names, ONNX Runtime returns all outputs
        arrays = self._session.run(self._computed, {self._input: images}) if self._computed else []
        return {**dict(zip(self._computed, arrays, strict=True)), self._input: images}

    def by_batch(self, images: NDArray[np.float32], batch: int) -> Iterator[Values]:
        """`of` for each `batch` of `images`."""
        for start in range(0, len(images), batch):
            yield self.of(images[start : start + batch])


def session_of(model: onnx.ModelProto) -> ort.InferenceSession:
    """A session on one thread of the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
