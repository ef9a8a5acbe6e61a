"""The model that is shrunk: its accuracy, its costs and its measured latency, kept in the run."""

from pathlib import Path
from typing import Literal

import torch
from torch import nn

from exporters.graph.to_onnx import export_onnx
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.files import Count, Document, Milliseconds, Share, read_document, write_document
from toolchain.measuring.from_config import measurement_plan
from toolchain.measuring.network import measure_network
from toolchain.measuring.target import ReadyTarget
from toolchain.nets.model_space.weights import original_space
from toolchain.spaces.model_source import full_architecture
from toolchain.training.accuracy import accuracy_over_ranks
from toolchain.training.checkpoint import file_hash
from toolchain.training.job import Job
from toolchain.training.original_model import load_original
from toolchain.training.precision import compute_device
from toolchain.training.stored_fingerprint import Fingerprint, require_same
from toolchain.training.torch_setup import place

REMEDY = "Remove it and run nastool shrink again"


class OriginalFingerprint(Fingerprint):
    """What the figures of a model depend on."""

    space: str
    space_digest: str
    weights_sha256: str
    data: str
    data_digest: str
    test_images: str
    target: str


class Original(Document):
    """The content of original.json.

    Args:
        architecture: every block at its full width.
        latency_ms: measured, for a batch of the target.
        unstable: why the measurement is not reproducible; empty if it is.
    """

    schema_version: Literal[1] = 1
    architecture: tuple[str, ...]
    latency_ms: Milliseconds
    unstable: str = ""
    holdout_accuracy: Share
    test_accuracy: Share
    macs: Count
    params: Count
    fingerprint: OriginalFingerprint


def measure_original(job: Job, target: ReadyTarget) -> Original:
    """Evaluate and time the model with the weights that [train] starts from; a known result is read from the run.

    Raises:
        BadCheckpoint: the weights do not fit the model, or the run has figures of other weights, data or targets.
        BadDocument: original.json is damaged.
    """
    path, fingerprint = job.run.shrink / "original.json", _fingerprint(job, target)
    if path.exists():
        known = read_document(path, Original, REMEDY)
        require_same(path, known.fingerprint.stored(), fingerprint.stored())
        return known
    model = load_original(job.space, weights_of(job))
    _export(model, job.space.input_shape, job.run.original)
    original = _measured(job, model, target, fingerprint)
    write_document(path, original)
    return original


def weights_of(job: Job) -> Path:
    """The file of weights that is shrunk."""
    weights = job.config.train.start_from
    assert weights is not None  # refused at the entry of the command
    return weights


def _measured(job: Job, model: nn.Module, target: ReadyTarget, fingerprint: OriginalFingerprint) -> Original:
    config, space, data = job.config, original_space(job.space), job.data
    place(model, compute_device(config.train.device))
    images = tuple(range(len(data.test.labels)))
    batch, preprocessing = config.search.batch, data.preprocessing
    arch = full_architecture(space)
    measured = measure_network(space, arch, target, measurement_plan(config), config.profile.db, job.progress)
    return Original(
        architecture=arch.choices,
        latency_ms=measured.latency_ms,
        unstable=measured.unstable,
        holdout_accuracy=accuracy_over_ranks(model, data.train, data.holdout, batch, preprocessing),
        test_accuracy=accuracy_over_ranks(model, data.test, images, batch, preprocessing),
        macs=int(macs_cost(space).cost(arch)),
        params=int(params_cost(space).cost(arch)),
        fingerprint=fingerprint,
    )


def _export(model: nn.Module, input_shape: tuple[int, int, int], path: Path) -> None:
    """Write the model as ONNX, so that it can be timed beside the shrunk network."""
    path.parent.mkdir(parents=True, exist_ok=True)
    export_onnx(model, torch.zeros(2, *input_shape), path)


def _fingerprint(job: Job, target: ReadyTarget) -> OriginalFingerprint:
    return OriginalFingerprint(
        space=job.space.name,
        space_digest=job.space.digest,
        weights_sha256=file_hash(weights_of(job)),
        data=job.data.name,
        data_digest=job.data.digest,
        test_images=job.data.digests.test,
        target=target.target.id,
    )
