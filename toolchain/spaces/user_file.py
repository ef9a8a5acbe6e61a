"""A search space that a user defines in a Python file: `path/to/file.py:my_space`."""

import hashlib
import importlib.util
import sys
import traceback
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from toolchain.errors import UnknownSpace
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.validation import check_space

BUILDERS = ("build_stem", "build_block", "build_head")


def load_user_space(path: Path, name: str, text: str) -> SearchSpace:
    """The space `name` of the Python file at `path`, with the file's builder functions if it defines them.

    Its definition is checked; `toolchain.nets.checked_space` checks the modules as well.

    Args:
        text: `path:name` as the user wrote it; it becomes the space's name.

    Raises:
        UnknownSpace: the file is missing or fails, or the space in it is missing or inconsistent.
    """
    module = execute(path, text, "path/to/file.py:my_space, or --space model:path/to/file.py:build_model for a model")
    space = vars(module).get(name)
    if not isinstance(space, SearchSpace):
        defined = [key for key, value in vars(module).items() if isinstance(value, SearchSpace)]
        raise UnknownSpace(
            f"{printable_path(path)} defines no SearchSpace {name!r}. It defines {', '.join(defined) or 'none'}: "
            f"write --space {printable_path(path)}:{defined[0] if defined else 'my_space'}"
        )
    builders = [function for function in BUILDERS if callable(vars(module).get(function))]
    if builders and len(builders) < len(BUILDERS):
        missing = ", ".join(function for function in BUILDERS if function not in builders)
        raise UnknownSpace(
            f"{printable_path(path)} defines {', '.join(builders)} but not {missing}. Define all three, or none"
        )
    try:
        check_space(space, own_stem=bool(builders))
    except ValueError as problem:
        raise UnknownSpace(f"space {text!r}: {problem}. Correct the file") from None
    if not builders:
        return replace(space, name=text)
    source = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return replace(space, name=text, builder=module, builder_hash=source)


def printable_path(path: Path) -> str:
    """A path for a message: as it is, or quoted with escapes if it has control characters or invalid bytes."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def failure(path: Path, problem: BaseException) -> str:
    """Where and how the code of a user's file failed: `my.py, line 3: NameError: name 'x' is not defined`."""
    line = _line(str(path.absolute()), problem)
    place = printable_path(path) if line is None else f"{printable_path(path)}, line {line}"
    if isinstance(problem, SystemExit):
        return f"{place}: the file ends the program (SystemExit)"
    words = _words(problem)
    return f"{place}: {type(problem).__name__}" + (f": {words}" if words else "")


def _line(file: str, problem: BaseException) -> int | None:
    """The last line of `file` that was running when the exception was raised; None if it is in other code."""
    if isinstance(problem, SyntaxError) and problem.filename == file:
        return problem.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == file]
    return lines[-1] if lines else None


def _words(problem: BaseException) -> str:
    """The first line of an exception's text, escaped; an exception may even fail to give one."""
    try:
        text = problem.msg if isinstance(problem, SyntaxError) else str(problem)
    except Exception:  # the user's own __str__ runs here
        return ""
    first = (text.strip().splitlines() or [""])[0]
    return first if first.isprintable() else ascii(first)


def execute(path: Path, text: str, form: str) -> ModuleType:
    """The module that the Python file at `path` defines. Its prints go to stderr.

    Args:
        text: the space as the user wrote it, for messages.
        form: what it should look like.

    Raises:
        UnknownSpace: the file is missing or fails.
    """
    spec = importlib.util.spec_from_file_location(f"nastool_own_space.{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UnknownSpace(f"space {text!r}: there is no file {printable_path(path)}. Write --space {form}")
    if (folder := str(path.absolute().parent)) not in sys.path:
        sys.path.append(folder)  # the file may import its neighbors, also later
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses with postponed annotations look their module up
    try:
        with redirect_stdout(sys.stderr):  # stdout is for the command's own result
            exec(compile(path.read_bytes(), str(path.absolute()), "exec"), vars(module))  # leaves no __pycache__
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # whatever the user's code raises, exit() included
        raise UnknownSpace(f"{failure(path, problem)}. Correct the file of the space") from problem
    return module  # type: ignore[no-any-return]
