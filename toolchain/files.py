"""Files are written atomically; JSON documents are validated when they are read.

Every JSON file that a command takes from disk is read by `read_document`, and every journal line by `parse_document`:
damage of any sort becomes one error that names the file, the field and the remedy.
"""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from exporters.files import write_whole
from toolchain.errors import BadConfig, BadDocument, RunFolderError, UserError, remedy_of

SHOWN_INPUT = 60  # characters of a damaged value that an error shows


class Document(BaseModel):
    """Base of all JSON documents: immutable, numbers are finite, types are not converted, unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False, extra="ignore", validate_by_name=True)


def _without_surrogates(text: Any) -> Any:
    return text.encode(errors="backslashreplace").decode() if isinstance(text, str) else text


def _zero_is_unknown(given: Any) -> Any:
    return None if isinstance(given, int | float) and given == 0 else given


AnyDocument = TypeVar("AnyDocument", bound=Document)

Share = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
ImageCount = Annotated[int, Field(gt=0)]  # that an accuracy was measured on
# A file name that is not UTF-8 has surrogates in Python, which JSON cannot hold.
Text = Annotated[str, BeforeValidator(_without_surrogates)]
AnchorMs = Annotated[Milliseconds | None, BeforeValidator(_zero_is_unknown)]  # nastool 0.1.0 wrote 0 for unknown


def read_document(
    path: Path, model: type[AnyDocument], remedy: str, error: type[UserError] = BadDocument
) -> AnyDocument:
    """Read and validate a JSON file.

    Args:
        remedy: what to do if the file is damaged: `Remove it and run nastool search`.

    Raises:
        error: the file cannot be read, is not JSON, or a field is missing or has a wrong type or value.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}. {remedy}") from None
    return parse_document(content, model, str(path), remedy, error)


def parse_document(
    content: bytes, model: type[AnyDocument], name: str, remedy: str, error: type[UserError] = BadDocument
) -> AnyDocument:
    """Validate one JSON document; `name` says which in the error: `line 2 of candidates.jsonl`.

    Raises:
        error: as `read_document`.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as problem:
        raise error(f"{name} is damaged: {_describe(problem.errors()[0])}. {remedy}") from None


def _describe(problem: Mapping[str, Any]) -> str:
    """`limits.macs: Input should be a finite number (given: nan)`"""
    field = ".".join(map(str, problem["loc"]))
    reason = problem["msg"].removeprefix("Value error, ")
    if not field or problem["type"] == "missing":
        return f"{field}: {reason}" if field else reason
    given = repr(problem["input"])
    shown = given if len(given) <= SHOWN_INPUT else f"{given[:SHOWN_INPUT]}..."
    return f"{field}: {reason} (given: {shown})"


def write_document(path: Path, document: Document) -> None:
    """Replace `path` by `document` as indented JSON.

    Raises:
        RunFolderError: as `write_bytes`.
    """
    write_json(path, document.model_dump(mode="json"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of `path` atomically: after a kill it holds either the old content or the new.

    Raises:
        RunFolderError: the folder cannot be written or the disk is full; the old content stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        _sync_folder(path.parent)
    except OSError as problem:
        raise unwritable(path, problem) from problem


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Replace `path` by `content` as indented JSON."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def require_writable(path: Path, flag: str) -> None:
    """Check before minutes of measuring that a report can be written to `path`.

    Args:
        flag: the flag and an example: `--junit latency.xml`.

    Raises:
        BadConfig: `path` is a folder.
        RunFolderError: its folder cannot be written or created. It is not created yet: the command may still fail.
    """
    if path.is_dir():
        raise BadConfig(f"{path} is a folder. Name a file, as {flag}")
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if not existing.is_dir():
        raise unwritable(path, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise unwritable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def unwritable(path: Path, problem: OSError) -> RunFolderError:
    """The error for `path` not being writable, with the system's reason."""
    remedy = remedy_of(problem, "Make the folder writable")
    return RunFolderError(
        f"cannot write {path}: {problem.strerror or problem}. Earlier content is unchanged. "
        f"{remedy}, or choose another folder with --runs, and run the same command again"
    )


def expand_home(text: str) -> str:
    """`~/images` or `folder:~/images` with the user's home folder in place of `~`.

    Raises:
        BadConfig: the home folder is unknown.
    """
    prefix, path = next(((p, text.removeprefix(p)) for p in ("folder:", "wds:") if text.startswith(p)), ("", text))
    if not path.startswith("~"):
        return text
    expanded = os.path.expanduser(path)  # noqa: PTH111 (pathlib would normalize the rest of the text)
    if expanded == path:
        raise BadConfig(f"the home folder in {text!r} is unknown. Write the whole path")
    return prefix + expanded


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
