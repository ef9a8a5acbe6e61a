"""Checkpoints of a training: complete or absent, checked against damage, with the fingerprint of their settings."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporters.errors import first_line
from exporters.manifest import sha256
from toolchain.errors import BadCheckpoint
from toolchain.training.printable import printable
from toolchain.training.sealed_file import REMEDY, load_sealed, save_sealed
from toolchain.training.stored_fingerprint import NAMES, StoredFingerprint, require_same

FORMAT = 2
OPTIONAL = ("average", "architecture")  # fields that are written only where they have content


@dataclass(frozen=True)
class Checkpoint:
    """Training after `step` updates. `fingerprint` is what the weights depend on: space, data, recipe, seed."""

    step: int
    fingerprint: StoredFingerprint
    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any] = field(default_factory=dict)  # of losses in fp16; empty in other precisions
    average: Mapping[str, Any] = field(default_factory=dict)  # moving average of the weights; empty without one
    architecture: Mapping[str, Any] = field(default_factory=dict)  # architecture parameters; empty without them

    def save(self, path: Path) -> None:
        """Write the checkpoint with its digest.

        Raises:
            RunFolderError: the disk is full or the folder read-only; the earlier checkpoint stays.
        """
        content = {name: value for name, value in vars(self).items() if name not in OPTIONAL or value}
        save_sealed(path, {"format": FORMAT, **content})


def load(
    path: Path, fingerprint: StoredFingerprint, only: Collection[str] = (), ignored: Collection[str] = ()
) -> Checkpoint:
    """Read the checkpoint at `path`, which must have this fingerprint.

    Of the fields of the fingerprint, only some are compared if they are named, and never those in `ignored`.

    Raises:
        BadCheckpoint: damaged, or made from another space, data set, recipe or seed; the field is named.
    """
    checkpoint = _parsed(path, load_sealed(path))
    compared = {*only, *(NAMES[key] for key in only if key in NAMES)}  # the names explain a difference of digests
    earlier, now = (
        {key: value for key, value in fields.items() if key not in ignored and (not only or key in compared)}
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
    if isinstance(content, dict):
        types |= {name: dict for name in OPTIONAL if name in content}
    fields = dict(require_fields(path, content, types))
    del fields["format"]
    checkpoint = Checkpoint(**fields)
    if checkpoint.step < 0:
        raise BadCheckpoint(f"{printable(path)}: step is {checkpoint.step}. {REMEDY}")
    return checkpoint


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
