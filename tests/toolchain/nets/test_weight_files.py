"""Weights of other programs: usual wrappers are accepted, and any other file is named for what it is."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from toolchain.errors import BadCheckpoint
from toolchain.nets.weight_files import read_weights

WEIGHTS = {"conv1.weight": torch.ones(2, 2), "bn1.num_batches_tracked": torch.tensor(3)}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in WEIGHTS.items()}


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS, "epoch": 7},
        {"model": WEIGHTS, "optimizer": {"lr": 0.1}},
        {"model_state_dict": WEIGHTS},
        {"model": {"state_dict": WEIGHTS}},
        prefixed("module."),
        {"state_dict": prefixed("module.")},
        prefixed("_orig_mod."),
        prefixed("_orig_mod.module."),
        {"state_dict": prefixed("model."), "pytorch-lightning_version": "2.4"},
        {"state_dict_ema": WEIGHTS},
        {"model_ema": prefixed("module.")},
        {"net": prefixed("backbone."), "ema": {name: value * 0 for name, value in WEIGHTS.items()}},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_usual_checkpoints_are_accepted(content: dict[str, Any], zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    weights = read_weights(path)
    assert list(weights) == ["conv1.weight", "bn1.num_batches_tracked"]
    assert weights["conv1.weight"].equal(torch.ones(2, 2))


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def zip_of(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "text")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html>\n<html>", "is a web page (HTML)"),
        (b"\x10\0\0\0\0\0\0\0" + b'{"a": {"b": 1}} ' + bytes(8), "is a safetensors file"),
        (b'{"weight_map": {}}', "is a JSON file, not weights"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\x1f\x8b\x08\x00", "is a gzip archive"),
        (zip_of("readme.txt"), "is a ZIP archive without PyTorch weights"),
        (zip_of("model/code/__torch__.py"), "is a TorchScript archive"),
        (saved(WEIGHTS)[:200], "is a damaged or truncated ZIP archive"),
        (b"\x1b[31mhello", "is not a file of PyTorch weights, or it is damaged"),
        (pickle.dumps({"a": 1}), "is not a file of PyTorch weights, or it is damaged"),
        (saved(nn.Linear(1, 1)), "contains Python objects (torch.nn.modules.linear.Linear) beside tensors"),
        (saved([1, 2]), "contains a list, not a state_dict"),
        (saved({}), "contains an empty mapping, not a state_dict"),
        (saved({"epoch": 7, "\x1b": 1}), r"contains a mapping with the keys 'epoch', '\x1b', not a state_dict"),
        (saved({1: torch.ones(1)}), "contains a mapping with the keys 1, not a state_dict"),
    ],
)
def test_any_other_file_is_named_for_what_it_is(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(BadCheckpoint) as caught:
        read_weights(path)
    text = str(caught.value)
    assert f"{path} {problem}" in text
    assert text.isprintable()
    assert "weights_only" not in text
    assert "torch.save(model.state_dict(), 'weights.pt')" in text or "torch.save(" not in text or "safetensors" in text
    assert path.read_bytes() == content


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None])
def test_a_file_that_can_not_be_opened_is_named(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "weights.pt")
    with pytest.raises(BadCheckpoint, match=r"cannot read the weights .*weights\.pt: (Is a directory|No such file)"):
        read_weights(tmp_path / "weights.pt")


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weights.pt")
    with pytest.raises(
        BadCheckpoint, match=r"cannot read the weights .*: it is a pipe, socket or device\. Give a file"
    ):
        read_weights(tmp_path / "weights.pt")
