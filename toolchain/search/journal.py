"""An append-only journal of JSON lines: what was computed is never computed again, and never lost.

Its first line says what all others depend on (the supernet's checkpoint, the images). A line torn by a kill is
dropped when the journal is opened again; a damaged line before the last is an error.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolchain.errors import BadCheckpoint
from toolchain.files import unwritable
from toolchain.parallel.collectives import wait_for_all
from toolchain.parallel.ranks import rank
from toolchain.training.checkpoint import require_same


def open_journal(path: Path, context: Mapping[str, Any]) -> "Journal":
    """The journal of several processes: all read it, and the first alone writes.

    Raises:
        BadCheckpoint, RunFolderError: as `Journal`.
    """
    if rank() == 0:
        journal = Journal(path, context)
        wait_for_all()
        return journal
    wait_for_all()
    return Journal(path, context, writes=False)


class Journal:
    """The lines of `path`, and a way to add some."""

    def __init__(self, path: Path, context: Mapping[str, Any], writes: bool = True) -> None:
        """Open or begin the journal. Of several processes one `writes`; the others open it after that one did.

        Raises:
            BadCheckpoint: a damaged line, or a journal that depends on other things; they are named.
            RunFolderError: it can't be written.
        """
        self.path = path
        self._writes = writes
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b" if writes else "rb") as file:
                file.seek(0)
                content = file.read()
                whole = content[: content.rfind(b"\n") + 1]
                if writes:
                    file.truncate(len(whole))
        except OSError as problem:
            raise unwritable(path, problem) from None
        lines = [self._parse(number, line) for number, line in enumerate(whole.splitlines(), 1)]
        if lines:
            require_same(path, lines[0].get("context", {}), context)
        else:
            self._write([{"context": dict(context)}])
        self.lines = lines[1:]

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line and wait until it is on the disk.

        Raises:
            RunFolderError: the disk is full or the folder read-only.
        """
        self.extend([line])

    def extend(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines and wait, once, until they are on the disk; killed meanwhile, the first of them are.

        Raises:
            RunFolderError: the disk is full or the folder read-only.
        """
        self._write(lines)
        self.lines.extend(map(dict, lines))

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        if not lines or not self._writes:
            return
        try:
            with self.path.open("ab") as file:
                file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
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
