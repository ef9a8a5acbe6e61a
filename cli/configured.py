"""The flags of a command, and what they make of its configuration."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console
from cli.flag import Flag
from cli.flag_groups import RUN, SPACE
from cli.flags import FLAGS
from cli.invocation import Invocation
from cli.options import selected

if TYPE_CHECKING:
    from toolchain.training.image_survey import SurveyedFolders

LAST = ("seeds", "nproc", "json")  # in a command's help
Prepare = Callable[[Mapping[Flag, Any], Mapping[str, Any]], Mapping[Flag, Any]]


def _as_given(flags: Mapping[Flag, Any], values: Mapping[str, Any]) -> Mapping[Flag, Any]:
    return flags


def configured(
    command: str, preset: str | None = None, takes_file: bool = True, prepare: Prepare = _as_given
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command its flags of `FLAGS`; it is called with the `Invocation` that they make.

    Args:
        preset: the configuration in place of nastool.toml.
        takes_file: whether it has --config. A file changes the preset.
        prepare: changes the values of the flags by the other arguments of the command.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        flags = FLAGS[command]

        def run(**values: Any) -> None:
            file = values.pop("config", None)
            given = prepare({flag: values.pop(flag.parameter.name) for flag in flags}, values)
            in_run = command if _works_in_run(command, given, values) else ""
            invocation = _resolve(given, file, preset, in_run)
            if "seeds" in values:
                of_seed = partial(_resolve_seed, given, invocation, command)
                invocation = replace(invocation, of_seed=of_seed)
            with flags_in_hints(invocation, values):
                function(invocation, **values)

        parameters = [*(flag.parameter for flag in flags), *([_config_flag(preset)] if takes_file else [])]
        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        keywords.sort(key=lambda parameter: parameter.name in LAST)
        first = sum(parameter.name not in LAST for parameter in keywords)
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads the flags from
            [*keywords[:first], *parameters, *keywords[first:]]
        )
        run.__doc__, run.__name__ = function.__doc__, function.__name__
        return run

    return decorate


def _config_flag(preset: str | None) -> inspect.Parameter:
    """--config of a command without or with a preset."""
    default = "nastool.toml if it exists" if preset is None else f"none, so the preset {preset} alone"
    option = typer.Option("--config", help=f"Configuration file. Default: {default}.")
    annotation = Annotated[Path | None, option]
    return inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


@contextmanager
def flags_in_hints(invocation: Invocation, values: Mapping[str, Any]) -> Iterator[None]:
    """Name an earlier command that is missing with the flags of this one, so that it can be run verbatim."""
    from toolchain.errors import MissingOutput, MissingStage

    try:
        yield
    except MissingOutput as problem:
        named = problem.command in ("retrain", "export")  # of the architecture that this command was called with
        network = selected(values.get("arch"), values.get("budget")) if named else ()
        hint = invocation.hint(problem.command, *network)
        raise MissingStage(f"{problem.what} does not exist yet. Run {hint} first") from None


def _works_in_run(command: str, flags: Mapping[Flag, Any], values: Mapping[str, Any]) -> bool:
    """Whether a command takes settings from its run, if that exists.

    A file to check, a published network, and an architecture of a space that is typed as well stand for themselves.
    """
    if not set(RUN) <= set(flags):
        return False
    if any(flag.key == "run" and value is not None for flag, value in flags.items()):
        return True
    if values.get("file") is not None or values.get("published") is not None:
        return False
    return command not in ("cost", "draw") or not any(flags[flag] is not None for flag in SPACE)


def _resolve(
    flags: Mapping[Flag, Any],
    file: Path | None,
    preset: str | None,
    in_run: str,
    folders: "SurveyedFolders | None" = None,
) -> Invocation:
    """The configuration of a preset changed by `file`, or of the run and nastool.toml, overridden by the flags.

    Args:
        in_run: the command, if it takes settings from its run.
        folders: the images that the command has listed already.

    Raises:
        BadConfig: a key or a value is invalid, or contradicts the run.
    """
    from toolchain.config import load_config, read_given, unused_lines
    from toolchain.training.image_survey import SurveyedFolders
    from toolchain.training.preset_choice import assumes_space, suited_config

    folders = folders or SurveyedFolders()
    given = {flag.key: _value(flag, value) for flag, value in flags.items() if value is not None and value != []}
    labels = {flag.key: flag.name for flag in flags}
    assumed = False
    if preset is None:
        all_given = read_given(file, given, labels)
        config, note = suited_config(all_given, in_run, folders)
        assumed = assumes_space(all_given, config, in_run)
        for line in (*(unused_lines(all_given, config) if in_run else ()), *([note] if note else [])):
            console.say(line)
    else:
        config = load_config(file, given, labels, preset)
    if "profile.devices" in given:  # the device of the file is not one of these
        profile = config.profile.model_copy(update={"device": config.profile.devices[0]})
        config = config.model_copy(update={"profile": profile})
    return Invocation(config, frozenset(given), folders, file, assumed)


def _resolve_seed(flags: Mapping[Flag, Any], invocation: Invocation, command: str, seed: int) -> Invocation:
    """The invocation with `seed`, in the run `RUN-seed0`, from which it takes its settings."""
    own = {"run": f"{invocation.config.run}-seed{seed}", "seed": seed}
    values = {flag: own.get(flag.key, value) for flag, value in flags.items()}
    return _resolve(values, invocation.file, None, command, invocation.folders)


def _value(flag: Flag, value: Any) -> Any:
    if flag.key.endswith("_s"):
        from toolchain.units import parse_seconds

        return parse_seconds(value, flag.name)
    return str(value) if isinstance(value, Path) else value
