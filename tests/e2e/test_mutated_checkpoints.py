"""Damaged and mutated checkpoints are refused by every command that reads them: exit code 2, and nothing is changed.

Mutations of the content are sealed again with a valid digest, as another program could write them. The seed is fixed.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from toolchain.training.sealed_file import load_sealed, save_sealed

Nastool = Callable[..., Any]
READERS = {
    "supernet": ("runs/r/supernet/checkpoint.pt", "search --macs 31k"),
    "network": ("runs/r/retrain/*/best.pt", "export"),
}
WRONG: tuple[Any, ...] = (None, -1, True, "text", [], {}, float("nan"), torch.zeros(3))
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
DAMAGE = {
    "empty": b"",
    "a Git LFS pointer": POINTER,
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "an archive": b"PK\x03\x04" + b"\0" * 60,
    "random bytes": Random(0).randbytes(2000),
}


PLACEHOLDERS = ("a Git LFS pointer", "a web page")


def tensors_of(content: dict[str, Any]) -> dict[str, Any]:
    """The weights inside a checkpoint, which has them under a key or is nothing else."""
    return next(
        (value for key, value in content.items() if key in ("model", "state") and isinstance(value, dict)), content
    )


def mutations(path: Path) -> Iterator[tuple[str, Callable[[dict[str, Any]], None]]]:
    """Changes of a checkpoint's content, each of which must be noticed."""
    content = load_sealed(path)
    names = [name for name, tensor in tensors_of(content).items() if tensor.is_floating_point()]
    rng = Random(0)
    name = rng.choice(names)
    shape = (7, *tensors_of(content)[name].shape)
    yield "a tensor dropped", lambda changed: tensors_of(changed).pop(name)
    yield "a tensor more", lambda changed: tensors_of(changed).update(more=torch.zeros(1))
    yield "another shape", lambda changed: tensors_of(changed).update({name: torch.zeros(shape)})
    yield (
        "another type",
        lambda changed: tensors_of(changed).update({name: tensors_of(changed)[name].to(torch.complex64)}),
    )
    yield "no tensor", lambda changed: tensors_of(changed).update({name: rng.choice(WRONG)})
    nan = torch.full_like(tensors_of(content)[name].float(), float("nan"))
    yield "not finite", lambda changed: tensors_of(changed).update({name: nan.to(tensors_of(changed)[name].dtype)})
    for key in content:
        value = rng.choice([value for value in WRONG if type(value) is not type(content[key])])
        yield f"{key} of another type", lambda changed, key=key, value=value: changed.update({key: value})
        yield f"{key} dropped", lambda changed, key=key: changed.pop(key)


def require_refused(nastool: Nastool, folder: Path, path: Path, command: str, what: str) -> None:
    others = {
        file: file.read_bytes() for file in sorted((folder / "runs").rglob("*")) if file.suffix in {".json", ".pt"}
    }
    answer = nastool(*command.split(), cwd=folder)
    assert (answer.code, answer.stdout) == (2, ""), (what, answer)
    assert path.name in "".join(answer.stderr.split()), (what, answer)
    assert "weights_only" not in answer.stderr, (what, answer)
    assert what not in PLACEHOLDERS or f"is {what}" in " ".join(answer.stderr.split())
    assert {file: file.read_bytes() for file in others} == others, what


@pytest.fixture
def damaged(job: Any, name: str) -> tuple[Path, Path, str]:
    pattern, command = READERS[name]
    (path,) = job.folder.glob(pattern)
    return job.folder, path, command


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_another_file_in_place_of_a_checkpoint_is_refused(
    damage: str, damaged: tuple[Path, Path, str], nastool: Nastool
) -> None:
    folder, path, command = damaged
    path.write_bytes(DAMAGE[damage])
    require_refused(nastool, folder, path, command, damage)


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_flipped_bits_are_noticed(damaged: tuple[Path, Path, str], nastool: Nastool) -> None:
    folder, path, command = damaged
    original, rng = path.read_bytes(), Random(0)
    for _ in range(12):
        content = bytearray(original)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        require_refused(nastool, folder, path, command, "a flipped bit")


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_a_changed_content_with_a_valid_digest_is_refused(
    damaged: tuple[Path, Path, str], nastool: Nastool, tmp_path: Path
) -> None:
    folder, path, command = damaged
    kept = shutil.copy(path, tmp_path / "kept.pt")
    for what, change in mutations(path):
        changed = load_sealed(Path(kept))
        change(changed)
        save_sealed(path, changed)
        require_refused(nastool, folder, path, command, what)
