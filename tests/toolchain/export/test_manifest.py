"""A manifest lists the digests of its files, and a file that differs is refused."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from toolchain.errors import BadDocument, MissingStage
from toolchain.export.manifest import file_records, read_manifest
from toolchain.runs import Run

WriteManifest = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, write_manifest: WriteManifest) -> Run:
    run = Run(tmp_path / "r")
    run.onnx.parent.mkdir(parents=True)
    run.onnx.write_bytes(b"a network of some bytes")
    write_manifest(run.onnx.parent)
    return run


def test_lists_files_with_their_digests(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"a network")
    (record,) = file_records([model]).values()
    assert record.model_dump() == {"sha256": hashlib.sha256(b"a network").hexdigest(), "bytes": 9}


def test_the_exported_file_is_accepted(run: Run) -> None:
    assert read_manifest(run).limits == {"latency_ms": 100.0}


@pytest.mark.parametrize("bit", [0, 50, 22 * 8 + 7])
def test_one_flipped_bit_is_refused(run: Run, bit: int) -> None:
    content = bytearray(run.onnx.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    run.onnx.write_bytes(content)
    with pytest.raises(BadDocument, match=r"model\.onnx is damaged or was replaced: .* Run nastool export again"):
        read_manifest(run)


def test_a_file_without_a_manifest_is_no_export(run: Run) -> None:
    run.manifest.unlink()
    with pytest.raises(MissingStage, match=r"manifest\.json does not exist yet\. Run nastool export"):
        read_manifest(run)


def test_a_manifest_of_nastool_0_1_0_is_read(run: Run) -> None:
    content = json.loads(run.manifest.read_text())
    del content["schema_version"], content["measured_anchor_ms"]
    target = content.pop("target")
    target["precision_found"] = target.pop("compute_precision")
    run.manifest.write_text(json.dumps(content | {"context": target, "measured_reference_ms": 0.0}))
    manifest = read_manifest(run)
    assert (manifest.target.batch, manifest.target.compute_precision) == (8, "compute_precision")
    assert manifest.measured_anchor_ms is None


def test_a_manifest_of_a_newer_nastool_is_refused(run: Run, write_manifest: WriteManifest) -> None:
    write_manifest(run.onnx.parent, schema_version=2)
    with pytest.raises(BadDocument, match=r"manifest\.json is damaged: schema_version: Input should be 1 \(given: 2\)"):
        read_manifest(run)
