"""Checkpoints are whole, and belong to something."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from toolchain.errors import BadCheckpoint, RunFolderError
from toolchain.training.checkpoint import FORMAT, Checkpoint, load

BELONGS = {"space_digest": "abc", "data": "digits", "seed": 0, "recipe": {"lr": 0.1, "augmentation": {"flip": True}}}


def checkpoint(step: int = 7) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    weight = torch.randn(50, 50, generator=generator)
    optimizer = {"state": {0: {"momentum_buffer": -weight}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return Checkpoint(step, BELONGS, {"weight": weight}, optimizer)


def test_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "supernet" / "checkpoint.pt"
    for step in (3, 7):  # the second replaces the first
        checkpoint(step).save(path)
    found = load(path, BELONGS)
    assert (found.step, found.belongs) == (7, BELONGS)
    assert torch.equal(found.model["weight"], checkpoint().model["weight"])
    assert torch.equal(found.optimizer["state"][0]["momentum_buffer"], -checkpoint().model["weight"])
    assert found.optimizer["param_groups"] == checkpoint().optimizer["param_groups"]
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadCheckpoint, match=r"can't read the checkpoint .*checkpoint\.pt: .*Remove it to train anew"):
        load(path, BELONGS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space_digest": "def"}, "space_digest was 'abc' and is now 'def'"),
        ({"seed": 1, "data": "folder:x"}, "seed was 0 and is now 1"),  # a name is no content
        ({"recipe": {"lr": 0.2}}, "recipe.lr was 0.1 and is now 0.2"),
        ({"architecture": ["choice_3"]}, "architecture was None and is now ['choice_3']"),
    ],
)
def test_what_belongs_to_something_else_is_refused_by_field(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint().save(path)
    before = path.read_bytes()
    with pytest.raises(BadCheckpoint) as caught:
        load(path, BELONGS | changes)
    assert f"{path} was made with other settings: {words}" in str(caught.value)
    assert "or keep both with another --run NAME" in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"format": FORMAT + 1}, "another version of nastool"),
        ({"format": FORMAT, "step": 3}, "can't read the checkpoint"),
        ({"state_dict": {}}, "can't read the checkpoint"),
        ([1, 2], "can't read the checkpoint"),
    ],
)
def test_another_programs_checkpoint_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    with pytest.raises(BadCheckpoint, match=words):
        load(path, BELONGS)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code from a checkpoint ran",)


def test_a_checkpoint_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "step": Malicious()}, buffer)
    (tmp_path / "checkpoint.pt").write_bytes(buffer.getvalue())
    with pytest.raises(BadCheckpoint):
        load(tmp_path / "checkpoint.pt", BELONGS)
    assert "ran" not in capsys.readouterr().out


def test_what_can_not_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint(3).save(path)
    (tmp_path / "checkpoint.pt.tmp").mkdir()  # in the way of the file that is written beside
    with pytest.raises(RunFolderError, match=r"can't write .*checkpoint\.pt: "):
        checkpoint(7).save(path)
    assert load(path, BELONGS).step == 3
