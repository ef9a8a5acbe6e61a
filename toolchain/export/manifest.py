"""`manifest.json`: what an export contains, and the digests of its files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, JsonValue

from exporters.manifest import sha256
from toolchain.errors import BadDocument
from toolchain.files import AnchorMs, Count, Document, ImageCount, Milliseconds, Share, Text, read_document
from toolchain.measuring.target_record import TargetRecord
from toolchain.runs import Environment, Run

REMEDY = "Run nastool export again"


class Costs(Document):
    """The costs of the network; `latency_ms` is predicted, and None if the table lacks a variant."""

    macs: Count
    params: Count
    bitops: Count
    weight_bits: Count
    latency_ms: Milliseconds | None


class ParityRecord(Document):
    """The comparison of a file with the network in torch, on hold-out images."""

    relative_error: float
    top1_agreement: Share
    images: Count
    batches: tuple[int, ...]


class IntegerLayers(Document):
    """The comparison of the integers in a file with those of the runtime."""

    checked: Count
    codes: Count
    wrong_behind_convolutions: Count
    wrong_behind_sums: Count


class ModelRecord(Document):
    """An exported ONNX file.

    Args:
        compute_precision: what its operators compute in.
        convolutions: how many convolutions ONNX Runtime runs in each precision.
        measured_latency_ms: of a batch; None if the device computes another precision.
    """

    precision: str
    compute_precision: str
    holdout_accuracy: Share
    convolutions: dict[str, Count]
    parity: ParityRecord
    integer_layers: IntegerLayers
    measured_latency_ms: Milliseconds | None
    graph_hash: str


class EngineRecord(Document):
    """A TensorRT engine.

    Args:
        capability: the compute capability that it was built for, as `8.6`, or `current`.
        batches: the least, the one that it is tuned for and timed at, and the most.
        convolutions: how many it computes in each precision; empty if its builder does not tell.
        parity: the comparison with the network in torch, on the engine's own device; None if it was not verified.
        holdout_accuracy: computed by the engine.
        measured_latency_ms: of a batch, in the same rounds as `onnx_latency_ms`, that of the ONNX file.
        not_verified: why the engine was not run here; empty if it was.
    """

    precision: str
    built_from: str
    capability: str
    built_by: str
    batches: tuple[int, int, int]
    convolutions: dict[str, Count] = Field(default_factory=dict)
    parity: ParityRecord | None = None
    holdout_accuracy: Share | None = None
    measured_latency_ms: Milliseconds | None = None
    onnx_latency_ms: Milliseconds | None = None
    not_verified: str = "it was not run"


class FileRecord(Document):
    """The size and the digest of a file."""

    sha256: str
    bytes: Count


class ModelPrecision(Document):
    """The part of a model's record that describes the engines built from it."""

    compute_precision: str
    graph_hash: str | None = None


class EngineManifest(Document):
    """The part of a manifest that describes engines."""

    engines: dict[str, EngineRecord]
    models: dict[str, ModelPrecision]
    files: dict[str, FileRecord]


class FileList(Document):
    """The part of a manifest that names its files."""

    files: dict[str, FileRecord]


class ExportedNetwork(Document):
    """The part of a manifest that says which network it is, and what it was searched for."""

    architecture: tuple[str, ...]
    limits: dict[str, float]


class PreprocessingRecord(Document):
    """From an image file to the network's input, as numbers that a program can follow.

    Early files of nastool 0.1.0 have no `mode`, `short_side_px` and `resample`, and none has `white`.

    Args:
        mode: of Pillow: L or RGB.
        short_side_px: what the short side is scaled to before the center is cut out; None if images are scaled to the
            square as they are.
        white: the white level of images of more than 8 bits, of integers (I) and of floating-point numbers (F).
        mean: of each channel, after scaling to 0 to 1; `std` likewise.
    """

    mode: str | None = None
    short_side_px: int | None = None
    size_px: int
    white: dict[str, int | float] | None = None
    resample: str | None = None
    scale: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: str


class ModelInfo(Document):
    """What each exported file says of its network, in its metadata and in the manifest."""

    space: str
    architecture: tuple[str, ...]
    costs: Costs
    classes: tuple[Text, ...]
    preprocessing: PreprocessingRecord


class Manifest(ModelInfo):
    """The content of manifest.json.

    Args:
        training: what the weights were trained on and how (a `RetrainFingerprint` of any version), with the steps.
        test_images, holdout_images: that the accuracies were measured on; None in files of nastool 0.1.0.
        test_accuracy_interval, holdout_accuracy_interval: 95 % intervals (Wilson).
        limits: the limits that the winner was searched for.
        measured_anchor_ms: latency of the anchor network when the latency limit was met; nastool 0.1.0 called it
            `measured_reference_ms`, 0 if unknown.
        measured_latency_ms: of the first file.
        target: what was measured on; nastool 0.1.0 called it `context`.
        profile_runs: uids of the runs of the latency table that `costs.latency_ms` is from; empty in files of nastool
            0.1.0, and if it is None.
        parity: of the first file.
    """

    schema_version: Literal[1] = 1
    run: str
    training: dict[str, JsonValue]
    test_accuracy: Share
    test_images: ImageCount | None = None
    test_accuracy_interval: tuple[Share, Share] | None = None
    holdout_accuracy: Share
    holdout_images: ImageCount | None = None
    holdout_accuracy_interval: tuple[Share, Share] | None = None
    limits: dict[str, float]
    measured_anchor_ms: AnchorMs = Field(
        None, validation_alias=AliasChoices("measured_anchor_ms", "measured_reference_ms")
    )
    measured_latency_ms: Milliseconds | None
    estimate: bool
    target: TargetRecord = Field(validation_alias=AliasChoices("target", "context"))
    profile_runs: tuple[str, ...] = ()
    versions: Environment
    parity: ParityRecord
    models: dict[str, ModelRecord]
    engines: dict[str, EngineRecord]
    files: dict[str, FileRecord]


def file_records(files: Iterable[Path]) -> dict[str, FileRecord]:
    """The records of `files` by name.

    Raises:
        OSError: a file cannot be read.
    """
    return {file.name: FileRecord(sha256=sha256(file), bytes=file.stat().st_size) for file in files}


def read_file_names(path: Path) -> tuple[str, ...]:
    """The names of the files that a manifest lists, of any version.

    Raises:
        BadDocument: the manifest is damaged.
    """
    return tuple(read_document(path, FileList, REMEDY).files)


def read_manifest(run: Run) -> Manifest:
    """The manifest of the export of `run`, whose model.onnx is the file that it describes.

    Raises:
        MissingStage: nothing was exported.
        BadDocument: the manifest is damaged, or the file has another digest.
    """
    run.require(run.onnx, "export")
    run.require(run.manifest, "export")
    manifest = read_document(run.manifest, Manifest, REMEDY)
    require_digest(run.onnx, manifest)
    return manifest


def require_digest(file: Path, manifest: Manifest) -> None:
    """Check that `file` is the exported one, byte for byte.

    Raises:
        BadDocument: its digest is another one, or it cannot be read.
    """
    try:
        same = file.name in manifest.files and sha256(file) == manifest.files[file.name].sha256
    except OSError as problem:
        raise BadDocument(f"cannot read {file}: {problem.strerror}. {REMEDY}") from None
    if not same:
        raise BadDocument(f"{file} is damaged or was replaced: its digest differs from manifest.json. {REMEDY}")
