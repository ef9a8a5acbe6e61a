"""What a shipped folder says about itself."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from exporters.files import write_whole

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """The file's digest, 64 hex digits.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(path: Path, content: Mapping[str, Any], files: Iterable[Path] = ()) -> dict[str, Any]:
    """Write `content` as JSON, with the size and digest of each of `files`; whole or not at all.

    Returns:
        what was written.

    Raises:
        OSError: a file can't be read, or the manifest can't be written; what was there stays.
    """
    listed = {file.name: {"sha256": sha256(file), "bytes": file.stat().st_size} for file in files}
    whole = {**content, "files": listed}
    write_whole(path, (json.dumps(whole, indent=2) + "\n").encode())
    return whole
