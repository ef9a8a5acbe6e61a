"""Messages between the workstation and a remote device: a JSON object and raw bytes, both of limited size."""

from __future__ import annotations

import json
import struct
from typing import Any, Callable

LENGTHS = struct.Struct("!II")  # bytes of the JSON object, raw bytes after it
MAX_JSON = 8 * 2**20
MAX_RAW = 256 * 2**20


class BadFrame(Exception):
    """Bytes that are not a message, or a message that is too large."""


def encode(message: dict[str, Any], raw: bytes = b"") -> bytes:
    """A message as bytes.

    Raises:
        BadFrame: it is too large.
    """
    text = json.dumps(message).encode()
    _check(len(text), len(raw))
    return LENGTHS.pack(len(text), len(raw)) + text + raw


def decode(read: Callable[[int], bytes]) -> tuple[dict[str, Any], bytes]:
    """The next message.

    Args:
        read: returns exactly the requested number of bytes, or raises.

    Raises:
        BadFrame: what was read is not a message.
    """
    n_text, n_raw = LENGTHS.unpack(read(LENGTHS.size))
    _check(n_text, n_raw)
    text, raw = read(n_text), read(n_raw)
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadFrame("a message is not JSON") from None
    if not isinstance(message, dict):
        raise BadFrame("a message is not a JSON object")
    return message, raw


def _check(n_text: int, n_raw: int) -> None:
    if n_text > MAX_JSON or n_raw > MAX_RAW:
        raise BadFrame(f"a message of {n_text} + {n_raw} bytes is larger than {MAX_JSON} + {MAX_RAW}")
