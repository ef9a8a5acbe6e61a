"""Files that are whole or not there: written beside, synced, renamed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporters.files import write_whole
from toolchain.errors import BadConfig, RunFolderError


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`; killed at any moment, it holds either the old content or the new.

    Raises:
        RunFolderError: the folder can't be written or the disk is full; the old content stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        _sync_folder(path.parent)
    except OSError as problem:
        raise unwritable(path, problem) from problem


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace `path` by `content` as indented JSON."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def require_writable(path: Path, flag: str) -> None:
    """A report that can't be written is refused before minutes of measuring.

    Args:
        flag: how it is named on the command line: `--junit latency.xml`.

    Raises:
        BadConfig: it is a folder.
        RunFolderError: its folder can't be made.
    """
    if path.is_dir():
        raise BadConfig(f"{path} is a folder. Name a file, as {flag}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise unwritable(path, problem) from None


def unwritable(path: Path, problem: OSError) -> RunFolderError:
    """The error for `path` not being writable, with the system's reason."""
    return RunFolderError(
        f"can't write {path}: {problem.strerror or problem}. What was there before is untouched. "
        f"Free some space or make the folder writable, or choose another place with --runs, and type the same again"
    )


def _sync_folder(folder: Path) -> None:
    """The rename itself must survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
