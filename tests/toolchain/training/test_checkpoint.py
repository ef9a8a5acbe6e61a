"""Checkpoints are whole, and belong to something."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from toolchain.errors import BadCheckpoint, RunFolderError
from toolchain.training.checkpoint import Checkpoint, load
from toolchain.training.sealed_file import load_sealed, save_sealed
from toolchain.training.state_check import load_state

FINGERPRINT = {
    "space": "quick",
    "space_digest": "abc",
    "data": "digits",
    "training_images": "0123",
    "seed": 0,
    "recipe": {"lr": 0.1, "augmentation": {"flip": True}},
}


def checkpoint(step: int = 7) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    weight = torch.randn(50, 50, generator=generator)
    optimizer = {"state": {0: {"momentum_buffer": -weight}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return Checkpoint(step, FINGERPRINT, {"weight": weight}, optimizer)


def test_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "supernet" / "checkpoint.pt"
    for step in (3, 7):  # the second replaces the first
        checkpoint(step).save(path)
    loaded = load(path, FINGERPRINT)
    assert (loaded.step, loaded.fingerprint) == (7, FINGERPRINT)
    assert torch.equal(loaded.model["weight"], checkpoint().model["weight"])
    assert torch.equal(loaded.optimizer["state"][0]["momentum_buffer"], -checkpoint().model["weight"])
    assert loaded.optimizer["param_groups"] == checkpoint().optimizer["param_groups"]
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadCheckpoint, match=r"checkpoint\.pt is damaged: .*\. Remove it to train again, or restore a"):
        load(path, FINGERPRINT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": "quick:size_px=16", "space_digest": "def"}, "space was 'quick' and is now 'quick:size_px=16'."),
        ({"space_digest": "def"}, "space quick has changed."),
        ({"data": "folder:x", "training_images": "45"}, "data was 'digits' and is now 'folder:x', with other images."),
        ({"training_images": "45"}, "training images of digits have changed."),
        ({"seed": 1, "data": "folder:x"}, "seed was 0 and is now 1"),  # a name is no content
        ({"recipe": {"lr": 0.2}}, "recipe.lr was 0.1 and is now 0.2"),
        ({"architecture": ["choice_3"]}, "architecture was None and is now ['choice_3']"),
    ],
)
def test_other_settings_are_refused_by_field(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint().save(path)
    before = path.read_bytes()
    with pytest.raises(BadCheckpoint) as caught:
        load(path, FINGERPRINT | changes)
    assert f"{path} was made with other settings: {words}" in str(caught.value)
    assert "or keep both with another --run NAME" in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"format": 1}, "was written by another version of nastool"),
        ({"format": 2, "step": 3}, "the field fingerprint is missing"),
        ({"step": "7"}, "the field step is a str, not a int"),
        ({"step": True}, "the field step is a bool, not a int"),
        ({"step": -1}, "step is -1"),
        ({"fingerprint": [1]}, "the field fingerprint is a list, not a dict"),
        ({"model": None}, "the field model is a NoneType, not a dict"),
        ({"more": 1}, "unknown field more"),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, content: Any, words: str) -> None:
    whole = {"format": 2, "step": 7, "fingerprint": FINGERPRINT, "model": {}, "optimizer": {}, "scaler": {}}
    path = tmp_path / "checkpoint.pt"
    save_sealed(path, content if content.get("format") else whole | content)
    with pytest.raises(BadCheckpoint, match=words):
        load(path, FINGERPRINT)


@pytest.mark.parametrize(("stored", "now"), [("levels", "constraint"), ("constraint", "levels")])
def test_both_names_of_the_constraint_sampler_are_the_same_setting(tmp_path: Path, stored: str, now: str) -> None:
    path = tmp_path / "checkpoint.pt"
    Checkpoint(7, {"sampler": stored}, {}, {}, {}).save(path)
    assert load(path, {"sampler": now}).step == 7
    with pytest.raises(BadCheckpoint, match=f"sampler was '{stored}' and is now 'uniform'"):
        load(path, {"sampler": "uniform"})


def test_another_programs_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(BadCheckpoint, match=r"has no digest: an older nastool wrote it\. Remove it to train again"):
        load(tmp_path / "checkpoint.pt", FINGERPRINT)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code from a checkpoint ran",)


def test_a_checkpoint_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_sealed(tmp_path / "checkpoint.pt", {"format": 2, "step": Malicious()})
    with pytest.raises(BadCheckpoint):
        load(tmp_path / "checkpoint.pt", FINGERPRINT)
    assert "ran" not in capsys.readouterr().out


def test_what_can_not_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint(3).save(path)
    (tmp_path / "checkpoint.pt.tmp").mkdir()  # in the way of the file that is written beside
    with pytest.raises(RunFolderError, match=r"cannot write .*checkpoint\.pt: "):
        checkpoint(7).save(path)
    assert load(path, FINGERPRINT).step == 3


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint().save(path)
    content = path.read_bytes()
    drawn = random.Random(0).sample(range(8 * len(content)), 300)
    last = range(8 * (len(content) - 110), 8 * len(content))  # the end of the archive and the digest
    for bit in (*drawn, *last):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(BadCheckpoint, match=r"Remove it to train again, or restore a copy"):
            load_sealed(path)
    path.write_bytes(content)
    assert load(path, FINGERPRINT).step == 7


def test_a_sealed_file_is_read_by_torch_alone(tmp_path: Path) -> None:
    checkpoint().save(tmp_path / "checkpoint.pt")
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert torch.equal(content["model"]["weight"], checkpoint().model["weight"])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"weight": torch.zeros(2, 3)}, "it lacks the tensor bias"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "more": torch.zeros(1)}, "it has a tensor more"),
        (
            {"weight": torch.zeros(3, 2), "bias": torch.zeros(2)},
            r"weight has the shape \(3, 2\), and the network's \(2, 3\)",
        ),
        ({"weight": torch.zeros(2, 3).double(), "bias": torch.zeros(2)}, "weight has the type torch.float64"),
        ({"weight": torch.zeros(2, 3), "bias": 7}, "bias is a int, not a tensor"),
        (
            {"weight": torch.zeros(2, 3), "bias": torch.tensor([0, torch.nan])},
            r"not finite \(the tensor bias\): its training",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, state: Any, words: str) -> None:
    model = torch.nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(BadCheckpoint, match=words):
        load_state(tmp_path / "best.pt", model, state)
    assert torch.equal(model.weight, before)
