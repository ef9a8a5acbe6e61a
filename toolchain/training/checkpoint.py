"""Checkpoints of a training: complete or absent, checked against damage, with the fingerprint of their settings."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from exporters.errors import first_line
from exporters.manifest import sha256
from toolchain.errors import BadCheckpoint
from toolchain.training.printable import printable
from toolchain.training.sealed_file import REMEDY, load_sealed, save_sealed

FORMAT = 2
SAME_SAMPLER = ("levels", "constraint")  # the former and the present name
NAMES = {"space_digest": "space", "training_images": "data"}  # digest -> the field with the name of what it covers


@dataclass(frozen=True)
class Checkpoint:
    """Training after `step` updates. `fingerprint` is what the weights depend on: space, data, recipe, seed."""

    step: int
    fingerprint: Mapping[str, Any]
    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any] = field(default_factory=dict)  # of losses in fp16; empty in other precisions

    def save(self, path: Path) -> None:
        """Write the checkpoint with its digest.

        Raises:
            RunFolderError: the disk is full or the folder read-only; the earlier checkpoint stays.
        """
        save_sealed(path, {"format": FORMAT, **vars(self)})


def load(path: Path, fingerprint: Mapping[str, Any], only: Collection[str] = ()) -> Checkpoint:
    """Read the checkpoint at `path`, which must have this fingerprint (of its fields, only some are compared if named).

    Raises:
        BadCheckpoint: damaged, or made from another space, data set, recipe or seed; the field is named.
    """
    checkpoint = _parsed(path, load_sealed(path))
    compared = {*only, *(NAMES[key] for key in only if key in NAMES)}  # the names explain a difference of digests
    earlier, now = (
        {key: value for key, value in fields.items() if not only or key in compared}
        for fields in (checkpoint.fingerprint, fingerprint)
    )
    require_same(path, earlier, now)
    return checkpoint


def require_fields(path: Path, content: object, types: Mapping[str, type]) -> Mapping[str, Any]:
    """`content` as a mapping with these fields.

    Raises:
        BadCheckpoint: it is no mapping, or a field is missing, unknown or of another type.
    """
    if not isinstance(content, dict):
        raise BadCheckpoint(f"{printable(path)} is not a checkpoint of nastool. {REMEDY}")
    for name, type_ in types.items():
        value = content.get(name)
        if not isinstance(value, type_) or isinstance(value, bool):
            raise BadCheckpoint(
                f"{printable(path)}: the field {name} is "
                f"{'missing' if name not in content else f'a {type(value).__name__}, not a {type_.__name__}'}. {REMEDY}"
            )
    if unknown := sorted(set(map(str, content)) - set(types)):
        raise BadCheckpoint(f"{printable(path)}: unknown field {printable(unknown[0])}. {REMEDY}")
    return content


def _parsed(path: Path, content: object) -> Checkpoint:
    types = {"format": int, "step": int, "fingerprint": dict, "model": dict, "optimizer": dict, "scaler": dict}
    if isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] != FORMAT:
        raise BadCheckpoint(f"{printable(path)} was written by another version of nastool. {REMEDY}")
    fields = dict(require_fields(path, content, types))
    del fields["format"]
    checkpoint = Checkpoint(**fields)
    if checkpoint.step < 0:
        raise BadCheckpoint(f"{printable(path)}: step is {checkpoint.step}. {REMEDY}")
    return checkpoint


def _differences(earlier: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    for key in {**earlier, **now}:
        old, new = earlier.get(key), now.get(key)
        if not inside and key in NAMES.values():
            continue
        if key == "sampler" and old in SAME_SAMPLER and new in SAME_SAMPLER:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{inside}{key}.")
        elif isinstance(old, Tensor) or old != new:
            named = None if inside else _named_difference(key, earlier, now)
            yield named or f"{printable(f'{inside}{key}')} was {old!r} and is now {new!r}"


def _named_difference(key: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """A difference between digests by the names beside them; None where there are no names."""
    name = NAMES.get(key, "")
    old, new = earlier.get(name), now.get(name)
    if not (isinstance(old, str) and isinstance(new, str)):
        return None
    what = key.removesuffix("_digest").replace("_", " ")
    same_name = f"{what} of {printable(new)} have changed" if name == "data" else f"{what} {printable(new)} has changed"
    return same_name if old == new else f"{name} was {printable(old)!r} and is now {printable(new)!r}"


def require_same(path: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to mix results of different settings.

    Raises:
        BadCheckpoint: names each field that differs.
    """
    if lines := "; ".join(_differences(earlier, now)):
        raise BadCheckpoint(
            f"{printable(path)} was made with other settings: {lines}. "
            f"Give the earlier settings, or keep both with another --run NAME"
        )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error inside into one that names `path`: torch documents no set of errors for a wrong state.

    Raises:
        BadCheckpoint: with the reason.
    """
    try:
        yield
    except BadCheckpoint:
        raise
    except Exception as problem:  # pickled content of any type meets torch and pydantic
        reason = first_line(problem)
        raise BadCheckpoint(f"cannot use {printable(path)}: {reason}. {REMEDY}") from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file of weights.

    Raises:
        BadCheckpoint: it cannot be read.
    """
    try:
        return sha256(path)
    except (OSError, ValueError) as problem:
        raise BadCheckpoint(f"cannot read the weights {printable(path)}: {problem}. Give a file of weights") from None
