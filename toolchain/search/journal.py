"""An append-only journal of JSON lines, so that no result is computed twice or lost.

The first line is the fingerprint: what all results depend on, such as the checkpoint of the supernet and the images. A
line that a kill left incomplete is dropped when the journal is opened again; any other damaged line is an error.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import AliasChoices, Field, JsonValue

from toolchain.errors import BadArchitecture, BadDocument
from toolchain.files import AnyDocument, Document, parse_document, unwritable, write_bytes
from toolchain.parallel.collectives import wait_for_all
from toolchain.parallel.ranks import rank
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.training.stored_fingerprint import StoredFingerprint, require_same

REMEDY = "Fix or remove this line, or remove the file to compute everything again"


class JournalHeader(Document):
    """The first line; nastool 0.1.0 called the fingerprint `context`."""

    fingerprint: dict[str, JsonValue] = Field(validation_alias=AliasChoices("fingerprint", "context"))


class JournalLine(Document):
    """One result for one architecture."""

    architecture: tuple[str, ...]


Line = TypeVar("Line", bound=JournalLine)


def open_journal(
    path: Path, fingerprint: StoredFingerprint, model: type[Line], space: SearchSpace | None = None
) -> "Journal[Line]":
    """The journal of several processes: all read it, and only the first writes.

    Raises:
        BadCheckpoint, BadDocument, RunFolderError: as `Journal`.
    """
    if rank() == 0:
        journal = Journal(path, fingerprint, model, space)
        wait_for_all()
        return journal
    wait_for_all()
    return Journal(path, fingerprint, model, space, writes=False)


class Journal(Generic[Line]):
    """The lines of a file, and methods to append to it.

    `restarted` says that the file had no result and another fingerprint, which was replaced.
    """

    def __init__(
        self,
        path: Path,
        fingerprint: StoredFingerprint,
        model: type[Line],
        space: SearchSpace | None = None,
        writes: bool = True,
    ) -> None:
        """Open or create the journal.

        Args:
            model: validates each line.
            space: if given, each line must be an architecture of it.
            writes: False in all processes but the first.

        Raises:
            BadCheckpoint: the journal has another fingerprint; the fields that differ are named.
            BadDocument: a line is damaged.
            RunFolderError: the file cannot be written.
        """
        self.path = path
        self._writes = writes
        header, *content = self._read() or [b""]
        earlier = self._parse(1, header, JournalHeader).fingerprint if header or content else None
        self.restarted = earlier is not None and not content and earlier != dict(fingerprint)
        if earlier is None or self.restarted:  # a fingerprint without a result does not matter
            self._begin(fingerprint)
        else:
            require_same(path, earlier, fingerprint)
        self.lines = [self._parse(number, line, model) for number, line in enumerate(content, 2)]
        if space is not None:
            self._require_architectures(space)

    def append(self, line: Line) -> None:
        """Add a line and wait until it is on the disk.

        Raises:
            RunFolderError: the disk is full or the folder is read-only.
        """
        self.extend([line])

    def extend(self, lines: Sequence[Line]) -> None:
        """Add lines and wait once until they are on the disk; after a kill, the first of them may be there.

        Raises:
            RunFolderError: the disk is full or the folder is read-only.
        """
        self._write(lines)
        self.lines.extend(lines)

    def _read(self) -> list[bytes]:
        """All complete lines; an incomplete last line is cut off."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b" if self._writes else "rb") as file:
                file.seek(0)
                content = file.read()
                complete = content[: content.rfind(b"\n") + 1]
                if self._writes:
                    file.truncate(len(complete))
        except OSError as problem:
            raise unwritable(self.path, problem) from None
        return complete.splitlines()

    def _begin(self, fingerprint: StoredFingerprint) -> None:
        if self._writes:
            write_bytes(self.path, _encoded(JournalHeader(fingerprint=dict(fingerprint))))

    def _write(self, lines: Sequence[Line]) -> None:
        if not lines or not self._writes:
            return
        try:
            with self.path.open("ab") as file:
                file.write(b"".join(map(_encoded, lines)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise unwritable(self.path, problem) from None

    def _parse(self, number: int, line: bytes, model: type[AnyDocument]) -> AnyDocument:
        return parse_document(line, model, f"line {number} of {self.path}", REMEDY)

    def _require_architectures(self, space: SearchSpace) -> None:
        for number, line in enumerate(self.lines, 2):
            try:
                exact = space.architecture(line.architecture).choices == line.architecture
            except BadArchitecture as problem:
                raise BadDocument(
                    f"line {number} of {self.path} is damaged: architecture: {problem}. {REMEDY}"
                ) from None
            if not exact:
                raise BadDocument(f"line {number} of {self.path} is damaged: architecture: not by name. {REMEDY}")


def architecture_of(line: JournalLine, space: SearchSpace) -> Architecture:
    """The architecture of a line that `Journal` has validated."""
    return Architecture(space.name, line.architecture)


def _encoded(document: Document) -> bytes:
    return json.dumps(document.model_dump(mode="json", exclude_none=True)).encode() + b"\n"
