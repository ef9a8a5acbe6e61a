"""An append-only journal of JSON lines: what was computed is never computed again, and never lost.

Its first line says what all others depend on (the supernet's checkpoint, the images). A line torn by a kill is
dropped when the journal is opened again; a damaged line before the last is an error.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.errors import BadCheckpoint
from toolchain.files import unwritable
from toolchain.training.checkpoint import require_same


class Journal:
    """The lines of `path`, and a way to add one."""

    def __init__(self, path: Path, context: Mapping[str, Any]) -> None:
        """Open or begin the journal.

        Raises:
            BadCheckpoint: a damaged line, or a journal that depends on other things; they are named.
            RunFolderError: it can't be written.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                file.seek(0)
                content = file.read()
                whole = content[: content.rfind(b"\n") + 1]
                file.truncate(len(whole))
        except OSError as problem:
            raise unwritable(path, problem) from None
        lines = [self._parse(number, line) for number, line in enumerate(whole.splitlines(), 1)]
        if lines:
            require_same(path, lines[0].get("context", {}), context)
        else:
            self._write({"context": dict(context)})
        self.lines = lines[1:]

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line and wait until it is on the disk.

        Raises:
            RunFolderError: the disk is full or the folder read-only.
        """
        self._write(line)
        self.lines.append(dict(line))

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise unwritable(self.path, problem) from None

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            content = json.loads(line)
            if isinstance(content, dict):
                return content
        except ValueError:
            pass
        raise BadCheckpoint(f"line {number} of {self.path} is damaged. Repair or remove the file to score anew")
