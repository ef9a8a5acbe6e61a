"""What the flags of a command make of its configuration, and the hints for the next command."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.flags import FLAGS, SPACE, Flag
from toolchain.parallel.ranks import world

if TYPE_CHECKING:
    from toolchain.config import Config

Nproc = Annotated[
    int | None,
    typer.Option("--nproc", min=1, help="Number of processes on this machine, one per GPU.", rich_help_panel="Run"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
Arch = Annotated[
    str | None,
    typer.Option("--arch", help="Architecture instead of the winner: choice keys, indices, or a best.json."),
]
BudgetName = Annotated[
    str | None, typer.Option("--budget", help="Winner of this budget, e.g. latency_17ms. Default: of the last search.")
]
MOST_GPUS = 16  # of one machine
LAST = ("nproc", "json")  # in a command's help
_CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None, typer.Option("--config", help="Configuration file. Default: nastool.toml if it exists.")
    ],
)


@dataclass(frozen=True)
class Invocation:
    """A command's configuration, and what `hint` needs to write the command that follows it.

    `base` is the configuration without flags: of `file`, or of nastool.toml. `given` are the keys that flags set.
    """

    config: "Config"
    base: "Config"
    given: frozenset[str]
    file: Path | None = None

    def hint(self, command: str, *words: str) -> str:
        """`nastool COMMAND WORDS` with the flags it needs to continue this command's work; it can be run verbatim."""
        config = [] if self.file is None else ["--config", str(self.file)]
        differing = [
            word
            for flag in FLAGS[command]
            if flag.value(self.config) != flag.value(self.base)
            for word in flag.words(self.config)
        ]
        return " ".join(["nastool", command, *map(quote, (*words, *config, *differing))])

    @property
    def gives_space(self) -> bool:
        """Whether a flag of the command line names the space."""
        return any(flag.key in self.given for flag in SPACE)

    def with_backend(self, backend: str) -> "Invocation":
        """The same with another backend."""
        profile = self.config.profile.model_copy(update={"backend": backend})
        return replace(self, config=self.config.model_copy(update={"profile": profile}))

    def with_profile_of_run(self) -> "Invocation":
        """The target of the run's last search, for a command that has no flags for it."""
        from toolchain.config import load_config
        from toolchain.errors import BadConfig
        from toolchain.runs import run_of

        stored = run_of(self.config).config
        try:
            profile = load_config(stored, {}).profile if stored.exists() else self.config.profile
        except BadConfig:
            return self
        return replace(self, config=self.config.model_copy(update={"profile": profile}))


def configured(command: str, preset: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command its flags of `FLAGS`; it is called with the `Invocation` that they make.

    Args:
        preset: the configuration in place of --config and nastool.toml.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        flags = FLAGS[command]

        def run(**values: Any) -> None:
            file = values.pop("config", None)
            given = {flag: values.pop(flag.parameter.name) for flag in flags}
            invocation = _resolve(given, file, preset)
            with _flags_in_hints(invocation, values):
                function(invocation, **values)

        parameters = [*(flag.parameter for flag in flags), *([] if preset else [_CONFIG])]
        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        keywords.sort(key=lambda parameter: parameter.name in LAST)
        first = sum(parameter.name not in LAST for parameter in keywords)
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads the flags from
            [*keywords[:first], *parameters, *keywords[first:]]
        )
        run.__doc__, run.__name__ = function.__doc__, function.__name__
        return run

    return decorate


@contextmanager
def _flags_in_hints(invocation: Invocation, values: Mapping[str, Any]) -> Iterator[None]:
    """Name an earlier command that is missing with the flags of this one, so that it can be run verbatim."""
    from toolchain.errors import MissingOutput, MissingStage

    try:
        yield
    except MissingOutput as problem:
        named = problem.command in ("retrain", "export")  # of the architecture that this command was called with
        network = selected(values.get("arch"), values.get("budget")) if named else ()
        hint = invocation.hint(problem.command, *network)
        raise MissingStage(f"{problem.what} does not exist yet. Run {hint} first") from None


def _resolve(flags: Mapping[Flag, Any], file: Path | None, preset: str | None) -> Invocation:
    """The configuration of a preset, `file` or nastool.toml, overridden by the flags that have a value.

    Raises:
        BadConfig: a key or a value is invalid.
    """
    from toolchain.config import load_config, parse_config, preset_text

    given = {flag.key: _value(flag, value) for flag, value in flags.items() if value is not None and value != []}
    labels = {flag.key: flag.name for flag in flags}
    if preset is not None:
        config, base = (parse_config(preset_text(preset), values, f"preset {preset}", labels) for values in (given, {}))
    else:
        config, base = (load_config(file, values, labels) for values in (given, {}))
    return Invocation(config, base, frozenset(given), file)


def _value(flag: Flag, value: Any) -> Any:
    if flag.key.endswith("_s"):
        from toolchain.units import parse_seconds

        return parse_seconds(value)
    return str(value) if isinstance(value, Path) else value


def in_processes(nproc: int | None) -> bool:
    """Run this command in `nproc` processes, if it is more than one and this is not one of them already.

    Raises:
        BadConfig: more processes than this machine has cores, or could have GPUs.
    """
    if nproc is None or nproc == 1 or world() > 1:
        return False
    if nproc > (most := max(MOST_GPUS, os.cpu_count() or 1)):
        from toolchain.errors import BadConfig

        raise BadConfig(f"--nproc {nproc} is too much for one machine: give {most} at most, one for each GPU")
    from toolchain.parallel.launcher import launch

    launch(sys.argv[1:], nproc)
    return True


def require_one(arch: str | None, budget: str | None) -> None:
    """Refuse two architectures at once.

    Raises:
        BadConfig: both --arch and --budget are given.
    """
    from toolchain.errors import BadConfig

    if arch is not None and budget is not None:
        raise BadConfig("--arch and --budget name an architecture each. Give one of them")


def selected(arch: str | None, budget: str | None) -> tuple[str, ...]:
    """--arch or --budget, as the next command needs it for the same architecture."""
    if arch is not None:
        return ("--arch", arch)
    return () if budget is None else ("--budget", budget)
