"""A flag: what it is called, and the configuration key that it sets."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from toolchain.config import Config


@dataclass(frozen=True)
class Flag:
    """A flag that sets a key of the configuration."""

    key: str  # search.latency
    help: str
    type: Any = str
    panel: str | None = None
    names: str = ""  # --quiet-timeout, where it is not the last part of the key; --race/--no-race

    @property
    def declaration(self) -> str:
        return self.names or "--" + self.key.rpartition(".")[2].replace("_", "-")

    @property
    def name(self) -> str:
        return self.declaration.partition("/")[0]

    @property
    def parameter(self) -> inspect.Parameter:
        """The flag as a parameter of a typer command."""
        option = typer.Option(self.declaration, help=self.help, rich_help_panel=self.panel)
        return inspect.Parameter(
            self.key.rpartition(".")[2],
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[self.type | None, option],
        )

    def words(self, config: "Config") -> list[str]:
        """The flag with its value in `config`, as words of a command line."""
        value = self.value(config)
        if value is None or value == ():
            return []
        if isinstance(value, bool):
            yes, _, no = self.declaration.partition("/")
            return [yes] if value else [no] if no else []
        values = value if isinstance(value, tuple) else (value,)
        return [word for one in values for word in (self.name, _text(one, self.key))]

    def value(self, config: "Config") -> Any:
        """The value of the flag's key in `config`."""
        value: Any = config
        for part in self.key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else getattr(value, part)
        return value


def _text(value: object, key: str) -> str:
    if key == "profile.db":
        from latency_db.where import shown

        return shown(str(value))  # a hint is copied and shared: no password in it
    return f"{value:g}s" if key.endswith("_s") else str(value)
