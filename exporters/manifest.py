"""What a shipped folder says about itself."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """The file's digest, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(path: Path, content: Mapping[str, Any], files: Iterable[Path]) -> None:
    """Write `content` as JSON, with the size and digest of each of `files`; whole or not at all.

    Raises:
        OSError: it can't be written.
    """
    listed = {file.name: {"sha256": sha256(file), "bytes": file.stat().st_size} for file in files}
    beside = path.with_name(path.name + ".tmp")
    with beside.open("w") as out:
        out.write(json.dumps({**content, "files": listed}, indent=2) + "\n")
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
