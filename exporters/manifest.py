"""The name of a manifest, and the digests that it lists."""

import hashlib
from pathlib import Path

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """The digest of a file, 64 hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
