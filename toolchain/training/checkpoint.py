"""Checkpoints that are whole or not there, and that say what they belong to."""

import io
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from exporters.manifest import sha256
from toolchain.errors import BadCheckpoint
from toolchain.files import write_bytes

FORMAT = 1
NAMES = frozenset({"space", "data"})  # for messages: the digests beside them say what is the same


@dataclass(frozen=True)
class Checkpoint:
    """Training after `step` updates. `belongs` names what the weights were trained as: space, data, recipe, seed."""

    step: int
    belongs: Mapping[str, Any]
    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any] = field(default_factory=dict)  # of losses in fp16; empty in other precisions

    def save(self, path: Path) -> None:
        """Write to memory, then to disk as a whole.

        Raises:
            RunFolderError: the disk is full or the folder read-only; the checkpoint before stays.
        """
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, **vars(self)}, buffer)
        write_bytes(path, buffer.getvalue())


def _differences(earlier: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    for key in {**earlier, **now}:
        old, new = earlier.get(key), now.get(key)
        if not inside and key in NAMES:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{inside}{key}.")
        elif old != new:
            yield f"{inside}{key} was {old!r} and is now {new!r}"


@contextmanager
def reading(what: str, remedy: str) -> Iterator[None]:
    """Any error inside becomes one that names `what`: torch names no set of errors for a damaged file.

    Raises:
        BadCheckpoint: with the reason, and `remedy`.
    """
    try:
        yield
    except BadCheckpoint:
        raise
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise BadCheckpoint(f"can't read {what}: {reason}. {remedy}") from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file of weights.

    Raises:
        BadCheckpoint: it can't be read.
    """
    with reading(f"the weights {path}", "Name a file of a state_dict"):
        return sha256(path)


def load(path: Path, belongs: Mapping[str, Any], only: Collection[str] = ()) -> Checkpoint:
    """Read the checkpoint at `path`, which must belong to the same things (of those, to `only` some).

    Raises:
        BadCheckpoint: truncated, or of another space, data set, recipe or seed; the field is named.
    """
    with reading(f"the checkpoint {path}", "Remove it to train anew, or put a copy back"):
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT:
            raise BadCheckpoint(f"{path} is of another version of nastool. Remove it to train anew")
        checkpoint = Checkpoint(**content)
    found = {key: value for key, value in checkpoint.belongs.items() if not only or key in only}
    require_same(path, found, belongs)
    return checkpoint


def require_same(path: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to mix what was made under different settings.

    Raises:
        BadCheckpoint: names each field that differs.
    """
    if lines := "; ".join(_differences(earlier, now)):
        raise BadCheckpoint(
            f"{path} was made with other settings: {lines}. "
            f"Give the earlier settings, or keep both with another --run NAME"
        )
