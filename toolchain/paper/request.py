"""A table or figure that a user asks for."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TableRequest:
    """What a user asks for.

    Args:
        name: of the table, such as `table3`.
        seeds: None for those of the preset.
        file: a configuration file that changes the preset.
        flags: of the configuration, by dotted key; they override the file.
        words: of the command line after the name of the table.
    """

    name: str
    preset: str = "quick"
    seeds: tuple[int, ...] | None = None
    file: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command that asks for this table alone."""
        return shlex.join(["nastool", "paper", self.name, *self.words])
