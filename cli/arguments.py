"""What every command does with its arguments before it runs: old names, empty values, NUL bytes and `~`."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperCommand

from toolchain.errors import BadConfig

# Flags of nastool 0.1.0 -> today's; they are accepted where a command has the new flag and not the old one.
OLD_FLAGS = {
    "--fix-ops": "--fixed-ops",
    "--stack": "--target",
    "--baseline": "--random-search",
    "--no-baseline": "--no-random-search",
}
MEMORY_DEVICES, NULL = 1, 3  # numbers of Linux: /dev/zero, /dev/full, /dev/urandom, /dev/mem; of these, /dev/null


class Command(TyperCommand):
    """A command whose arguments are checked in one place."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        typed = {self._renamed(word).partition("=")[0]: word.partition("=")[0] for word in args}
        args = [self._renamed(word) for word in args]
        values, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for param in self.params:
            label = (param.metavar or param.name or "").upper() if isinstance(param, TyperArgument) else param.opts[0]
            label = typed.get(label, label)
            for value in _texts(values.get(param.name)):
                _require_text(label, value)
        rest = super().parse_args(ctx, args)
        ctx.params = {name: _expanded(value) for name, value in ctx.params.items()}
        return rest

    def _renamed(self, word: str) -> str:
        flags = {flag for param in self.params for flag in (*param.opts, *param.secondary_opts)}
        flag, equals, value = word.partition("=")
        new = OLD_FLAGS.get(flag)
        return word if flag in flags or new not in flags else f"{new}{equals}{value}"


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [text for text in values if isinstance(text, str)]


def _require_text(label: str, value: str) -> None:
    """Refuse what an unset variable of a script leaves behind, before it is taken for a folder or for "no limit".

    Raises:
        BadConfig: an empty value, or one with a NUL byte.
    """
    if not value.strip():
        raise BadConfig(f"{label} is empty. Give it a value, or leave it out")
    if "\0" in value:
        raise BadConfig(f"{label} contains a NUL byte: {value!r}. Give a value without it")
    if _is_endless(value):
        raise BadConfig(f"{label}: {value} is a device that can be read without end. Name a file")


def _is_endless(value: str) -> bool:
    """Whether a value names a disk, or a device such as /dev/zero, which would be read until memory runs out."""
    with suppress(OSError, ValueError):
        status = Path(value).stat()
        if stat.S_ISCHR(status.st_mode):
            return os.major(status.st_rdev) == MEMORY_DEVICES and os.minor(status.st_rdev) != NULL
        return stat.S_ISBLK(status.st_mode)
    return False


def _expanded(value: Any) -> Any:
    from toolchain.files import expand_home  # brings pydantic, which --help does not need

    if isinstance(value, list):
        return [_expanded(item) for item in value]
    if isinstance(value, str):
        return expand_home(value)
    return Path(expand_home(str(value))) if isinstance(value, Path) else value
