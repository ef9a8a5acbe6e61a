"""ONNX files: read a model with all files that hold its weights, and write a model as one file."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType

import onnx
from onnx import TensorProto

from exporters.errors import ExportFailed, NotOnnx, first_line
from exporters.files import write_whole
from exporters.graph.walker import tensors_of
from exporters.manifest import sha256
from exporters.placeholders import HEAD_BYTES, placeholder

SHAPE_IS_MISSING = "Field 'shape' of 'type' is required but missing"  # ONNX Runtime infers shapes: never the reason
SOURCE_PLACE = re.compile(r"^/\S+:\d+ .*?\)(?: const)? (?=[A-Z])|^Fatal error: ")
NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class OnnxFile:
    """A parsed ONNX file.

    Args:
        path: the file as it was named.
        model: the graph with all of its weights in memory.
        files: `path`, then the files that hold external data, sorted by name.
    """

    path: Path
    model: onnx.ModelProto
    files: tuple[Path, ...]

    @property
    def n_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.stat().st_size for file in self.files)

    def sha256(self) -> str:
        """The digest of the file, or of the digests of all files if external data holds weights.

        Raises:
            OSError: a file cannot be read.
        """
        digests = [sha256(file) for file in self.files]
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def read_onnx(path: Path) -> OnnxFile:
    """Parse an ONNX file and load its external data.

    Valid is what the ONNX checker accepts, and what ONNX Runtime loads although the checker refuses it.

    Raises:
        NotOnnx: the file or one of its data files is missing or truncated, or it is not an ONNX model.
    """
    if not path.exists():
        raise NotOnnx(f"{path} does not exist. Export it first, or name another file")
    if not _is_utf8(path):
        raise NotOnnx(f"ONNX Runtime cannot open {str(path)!a}: the path is not UTF-8. Rename the file or its folder")
    if not (path.is_file() or path.is_dir()):  # opening a pipe may never end, and runtimes open a file again
        raise NotOnnx(f"{path} is a pipe, socket or device, and must be a file. Save the model to a file first")
    try:
        with path.open("rb") as file:
            stand_in = placeholder(file.read(HEAD_BYTES), "an ONNX file")
        if stand_in:
            raise NotOnnx(f"{path} {stand_in}")
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except NotOnnx:
        raise
    except OSError as problem:
        raise NotOnnx(f"cannot read {path}: {problem.strerror}. Make it readable, or name an ONNX file") from None
    except Exception as problem:  # protobuf documents no set of errors
        raise _invalid(path, problem) from None
    try:
        data_files = _load_external_data(model, path)
    except ValueError as problem:  # an offset that is not a number, or a location that is not a path
        raise _invalid(path, problem) from None
    try:
        onnx.checker.check_model(model)
    except Exception as problem:  # the checker and protobuf each have errors of their own
        if refused := _refused_by_onnxruntime(path):
            raise _invalid(path, refused if SHAPE_IS_MISSING in str(problem) else problem) from None
    return OnnxFile(path, model, (path, *data_files))


def load_model(path: Path) -> onnx.ModelProto:
    """The model in an ONNX file.

    Raises:
        NotOnnx: as `read_onnx`.
    """
    return read_onnx(path).model


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """The metadata of a model, by key."""
    return {entry.key: entry.value for entry in model.metadata_props}


def write_model(model: onnx.ModelProto, path: Path, metadata: Mapping[str, str] = NO_METADATA) -> None:
    """Write a model as one file; `metadata` replaces the model's entries of the same keys.

    Raises:
        ExportFailed: the model is not valid ONNX.
        OSError: the file cannot be written; the previous content stays.
    """
    kept = [entry for entry in model.metadata_props if entry.key not in metadata]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    try:
        onnx.checker.check_model(model)
        content = model.SerializeToString()
    except Exception as problem:  # the checker and protobuf each have errors of their own
        raise ExportFailed(f"the model made for {path.name} is not valid ONNX: {problem}") from problem
    write_whole(path, content)


def fix_batch(model: onnx.ModelProto, batch: int) -> None:
    """Change `model` so that it takes exactly `batch` images."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # these shapes have an open batch


def _load_external_data(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    """Load external tensors into `model`; returns the files that they come from.

    `onnx.load` refuses data files that are symbolic links, as in the cache of Hugging Face. ONNX Runtime loads them.
    """
    files: set[Path] = set()
    for tensor in tensors_of(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = _data_file(path, entries.get("location", ""))
        files.add(file)
        tensor.raw_data = _read_part(path, file, int(entries.get("offset", 0)), int(entries.get("length", -1)))
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT
    return tuple(sorted(files))


def _is_utf8(path: Path) -> bool:
    """Whether a path is UTF-8 text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _data_file(path: Path, location: str) -> Path:
    relative = PurePath(location)
    if not location or relative.is_absolute() or ".." in relative.parts:
        raise NotOnnx(
            f"{path} names the data file {location!r}, which is not inside its folder. Export it again as one file"
        )
    return path.parent / relative


def _read_part(path: Path, file: Path, offset: int, length: int) -> bytes:
    """`length` bytes of a data file from `offset`; all that follow if `length` is negative."""
    try:
        with file.open("rb") as data:
            data.seek(offset)
            content = data.read(length)
    except OSError as problem:
        raise NotOnnx(
            f"{path} stores its weights in {file}, which cannot be read: {problem.strerror}. "
            f"Copy {file.name} into the folder of {path.name}, or export the model as one file"
        ) from None
    if len(content) < length:
        raise NotOnnx(
            f"{file}, which holds the weights of {path.name}, is truncated: {length} bytes at {offset} are needed "
            f"and {len(content)} are there. Copy it again, or export the model as one file"
        )
    return content


def _refused_by_onnxruntime(path: Path) -> Exception | None:
    """Why ONNX Runtime cannot load a file; None if it can."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4  # fatal errors only
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime's errors have no common base
        text = first_line(problem)
        return ValueError(SOURCE_PLACE.sub("", text.partition(" failed:")[2] or text))
    return None


def _invalid(path: Path, problem: Exception) -> NotOnnx:
    reason = first_line(problem)
    return NotOnnx(f"{path} is not a valid ONNX file: {reason.rstrip('.')}. Export it again, or name another file")
