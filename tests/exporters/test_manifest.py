"""A manifest tells its files by their digests, and is there whole or not at all."""

import hashlib
import json
from pathlib import Path

import pytest

from exporters.manifest import sha256, write_manifest


def test_lists_files_with_their_digests(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"a network")
    write_manifest(tmp_path / "manifest.json", {"space": "tiny"}, files=[model])
    digest = hashlib.sha256(b"a network").hexdigest()
    assert sha256(model) == digest
    assert json.loads((tmp_path / "manifest.json").read_text()) == {
        "space": "tiny",
        "files": {"model.onnx": {"sha256": digest, "bytes": 9}},
    }


def test_what_can_not_be_written_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_manifest(path, {"number": 1})
    with pytest.raises(TypeError):
        write_manifest(path, {"number": object()})
    with pytest.raises(FileNotFoundError):
        write_manifest(path, {"number": 2}, files=[tmp_path / "missing.onnx"])
    assert json.loads(path.read_text())["number"] == 1
    assert [left.name for left in tmp_path.iterdir()] == ["manifest.json"]
