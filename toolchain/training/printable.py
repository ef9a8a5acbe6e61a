"""Names from a file system as text that can be printed and written to a file."""

import os
from pathlib import Path


def printable(name: Path | str) -> str:
    """`name` with control characters, and bytes that are not UTF-8, written as escapes: `caf\\xe9`."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
