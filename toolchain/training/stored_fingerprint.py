"""Fingerprints: what a checkpoint, a result or a journal was made from. Results of different ones are never mixed.

A command builds its fingerprint as a typed document. That of a file may come from another version of nastool, so it is
read as the JSON object that it is, and compared field by field.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue
from torch import Tensor

from toolchain.errors import BadCheckpoint
from toolchain.files import Document
from toolchain.training.printable import printable

StoredFingerprint = Mapping[str, JsonValue]

SAME_SAMPLER = ("levels", "constraint")  # the former and the present name
DEFAULTS = {"strategy": "spos"}  # of fields that a file has only if they have another value
NAMES = {"space_digest": "space", "training_images": "data"}  # digest -> the field with the name of what it covers


class Fingerprint(Document):
    """Base of all fingerprints; a subclass has a field for each input of the result."""

    def stored(self) -> dict[str, JsonValue]:
        """The fields as they are written to files and compared."""
        return self.model_dump(mode="json")


def require_same(path: Path, earlier: Mapping[str, object], now: Mapping[str, object]) -> None:
    """Refuse to mix results of different settings.

    Args:
        path: the file with the fingerprint `earlier`.

    Raises:
        BadCheckpoint: names each field that differs.
    """
    if lines := "; ".join(_differences(earlier, now)):
        raise BadCheckpoint(
            f"{printable(path)} was made with other settings: {lines}. "
            f"Give the earlier settings, or keep both with another --run NAME"
        )


def _differences(earlier: Mapping[str, object], now: Mapping[str, object], inside: str = "") -> Iterator[str]:
    for key in {**earlier, **now}:
        default = None if inside else DEFAULTS.get(key)
        old, new = earlier.get(key, default), now.get(key, default)
        if not inside and key in NAMES.values():
            continue
        if key == "sampler" and old in SAME_SAMPLER and new in SAME_SAMPLER:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{inside}{key}.")
        elif isinstance(old, Tensor) or old != new:
            named = None if inside else _named_difference(key, earlier, now)
            yield named or f"{printable(f'{inside}{key}')} was {old!r} and is now {new!r}"


def _named_difference(key: str, earlier: Mapping[str, object], now: Mapping[str, object]) -> str | None:
    """A difference between digests by the names beside them; None where there are no names."""
    name = NAMES.get(key, "")
    old, new = earlier.get(name), now.get(name)
    if not (isinstance(old, str) and isinstance(new, str)):
        return None
    what = key.removesuffix("_digest").replace("_", " ")
    same_name = f"{what} of {printable(new)} have changed" if name == "data" else f"{what} {printable(new)} has changed"
    if old == new:
        return same_name
    other_images = ", with other images" if name == "data" else ""  # the name alone makes no difference
    return f"{name} was {printable(old)!r} and is now {printable(new)!r}{other_images}"
