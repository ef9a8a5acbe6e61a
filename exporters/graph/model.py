"""An ONNX file that is parsed once, with what commands read from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx

from exporters.errors import WrongPrecision
from exporters.graph.footprint import Footprint, footprint_of
from exporters.graph.graph_hash import model_hash
from exporters.graph.half_scales import has_half_scales
from exporters.graph.inputs import Input, inputs_of
from exporters.graph.onnx_file import OnnxFile, metadata_of, read_onnx
from exporters.graph.precision import model_precision


@dataclass(frozen=True)
class Model:
    """A model in an ONNX file. The file is parsed at the first use of a property, and only once.

    Every property raises NotOnnx if the file is missing, truncated, or not an ONNX model.
    """

    path: Path

    @cached_property
    def file(self) -> OnnxFile:
        """The parsed file."""
        return read_onnx(self.path)

    @property
    def proto(self) -> onnx.ModelProto:
        """The graph with its weights. It is shared, so it must not be changed."""
        return self.file.model

    @cached_property
    def precision(self) -> str:
        """fp32, fp16 or int8, or "mixed"."""
        return model_precision(self.proto)

    @cached_property
    def graph_hash(self) -> str:
        """16 hex digits of the graph, independent of the values of its weights."""
        return model_hash(self.proto)

    @cached_property
    def half_scales(self) -> bool:
        """Whether a QuantizeLinear or DequantizeLinear has a float16 scale."""
        return has_half_scales(self.proto)

    @cached_property
    def footprint(self) -> Footprint:
        """The device memory that the loaded model takes, estimated."""
        return footprint_of(self.proto)

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs, without weights."""
        return inputs_of(self.proto)

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """The text that is stored in the file, by key."""
        return metadata_of(self.proto)

    @cached_property
    def sha256(self) -> str:
        """The digest of the file and of its data files."""
        return self.file.sha256()

    @cached_property
    def has_data_files(self) -> bool:
        """Whether other files hold weights."""
        return len(self.file.files) > 1

    @cached_property
    def n_bytes(self) -> int:
        """The size of the file and of its data files."""
        return self.file.n_bytes

    def release(self) -> None:
        """Free the memory of the parsed graph; properties that were read keep their values."""
        self.__dict__.pop("file", None)


def as_model(file: Path | Model) -> Model:
    """The model of a path; a model stays as it is, so that its file is not parsed again."""
    return file if isinstance(file, Model) else Model(file)


def require_precision(model: Model, expected: str) -> None:
    """Check that a model computes in the precision `expected`.

    Raises:
        WrongPrecision: it computes in another precision.
        NotOnnx: the file cannot be read.
    """
    if model.precision != expected:
        raise WrongPrecision(
            f"{model.path} computes in {model.precision}, not in {expected}, and a runtime does not change that. "
            f"Use --precision {model.precision}, or export the file in {expected}"
        )
