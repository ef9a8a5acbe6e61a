"""Files of `torch.save` that contain their own SHA-256, so that a changed bit is noticed when they are read.

The digest is the comment of the ZIP archive that `torch.save` writes: the file stays one archive, which other programs
read as before, and it is replaced by one rename together with its digest.
"""

import hashlib
import io
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from exporters.errors import first_line
from exporters.placeholders import HEAD_BYTES, placeholder
from toolchain.errors import BadCheckpoint
from toolchain.files import write_bytes
from toolchain.training.printable import printable

TAG = b"nastool sha256 "
SEAL_BYTES = len(TAG) + 64
REMEDY = "Remove it to train again, or restore a copy"


def save_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Replace `path` by `content` and its digest; killed at any moment, it holds either the old file or the new.

    Raises:
        RunFolderError: the disk is full or the folder read-only; the old file stays.
    """
    archive = io.BytesIO()
    torch.save(dict(content), archive)
    archive.seek(-2, os.SEEK_END)  # the archive ends with the length of its comment
    archive.write(struct.pack("<H", SEAL_BYTES))
    archive.write(TAG + hashlib.sha256(archive.getbuffer()).hexdigest().encode())
    write_bytes(path, archive.getvalue())


def load_sealed(path: Path) -> Any:
    """What `save_sealed` wrote, on the CPU.

    Raises:
        BadCheckpoint: the file is missing, damaged, or has no digest.
    """
    try:
        _require_intact(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except BadCheckpoint:
        raise
    except Exception as problem:  # torch documents no set of errors for a damaged file
        reason = first_line(problem)
        if isinstance(problem, OSError) and problem.strerror:
            reason = problem.strerror
        raise BadCheckpoint(f"cannot read {printable(path)}: {reason}. {REMEDY}") from None


def _require_intact(path: Path) -> None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SEAL_BYTES))
        seal = file.read()
        file.seek(0)
        digest = hashlib.sha256()
        remaining = size - len(seal)
        while remaining and (block := file.read(min(1 << 20, remaining))):
            digest.update(block)
            remaining -= len(block)
    if seal == TAG + digest.hexdigest().encode():
        return
    if not seal.startswith(TAG) and _is_archive_without_comment(path):
        raise BadCheckpoint(f"{printable(path)} has no digest: an older nastool wrote it. {REMEDY}")
    with path.open("rb") as file:
        stand_in = placeholder(file.read(HEAD_BYTES), "a checkpoint")
    if stand_in:
        raise BadCheckpoint(f"{printable(path)} {stand_in}")
    raise BadCheckpoint(f"{printable(path)} is damaged: its content does not match its digest. {REMEDY}")


def _is_archive_without_comment(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return not archive.comment
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
