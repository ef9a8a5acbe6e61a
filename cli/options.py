"""What the flags of a command make of its configuration, and the hints for the next command."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console
from cli.flag import Flag
from cli.flag_groups import RUN, SPACE
from cli.flags import FLAGS
from toolchain.parallel.ranks import world

if TYPE_CHECKING:
    from toolchain.config import Config
    from toolchain.runs import Run
    from toolchain.training.image_survey import SurveyedFolders

Nproc = Annotated[
    int | None,
    typer.Option("--nproc", min=1, help="Number of processes on this machine, one per GPU.", rich_help_panel="Run"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
Arch = Annotated[
    str | None,
    typer.Option(
        "--arch",
        help="Architecture instead of the winner: choice keys, indices, one choice for all blocks, a best.json, or "
        "original (of a model).",
    ),
]
BudgetName = Annotated[
    str | None, typer.Option("--budget", help="Winner of this budget, e.g. latency_17ms. Default: of the last search.")
]
MAX_GPUS = 16  # of one machine
DECISIVE = ("data", "space", "train.recipe", "retrain.recipe")  # others may follow from each of these
LAST = ("seeds", "nproc", "json")  # in a command's help


def _no_seeds(seed: int) -> "Invocation":
    raise AssertionError("a command without --seeds has one seed")


@dataclass(frozen=True)
class Invocation:
    """A command's configuration, and what `hint` needs to write the command that follows it.

    `given` are the keys that flags set. The configuration without flags is that of `file`, or of nastool.toml.
    `folders` are the images that it has listed for its settings. `of_seed` gives the same command with another seed,
    in a separate run. `assumes_space`: nothing names a space.
    """

    config: "Config"
    given: frozenset[str]
    folders: "SurveyedFolders" = field(compare=False)
    file: Path | None = None
    assumes_space: bool = False
    of_seed: "Callable[[int], Invocation]" = field(default=_no_seeds, compare=False)

    def hint(self, command: str, *words: str) -> str:
        """`nastool COMMAND WORDS` with the flags it needs to continue this command's work; it can be run verbatim.

        What the command takes from the run or from nastool.toml is left out.
        """
        from toolchain.config import load_config, read_given
        from toolchain.training.preset_choice import suited_config

        file = [] if self.file is None else ["--config", str(self.file)]
        plain = load_config(self.file, {})
        takes_run = set(RUN) <= set(FLAGS[command])
        typed = [flag for flag in RUN if takes_run and flag.value(self.config) != flag.value(plain)]
        missing: list[Flag] = []
        while True:  # a flag that is typed may replace what the run would give for another one
            typed += missing
            given = {flag.key: flag.value(self.config) for flag in typed}
            base = suited_config(read_given(self.file, given), command, self.folders)[0] if takes_run else plain
            differing = [flag for flag in FLAGS[command] if flag.value(self.config) != flag.value(base)]
            missing = [flag for flag in differing if flag not in typed and flag.value(self.config) is not None]
            missing = next(([flag] for key in DECISIVE for flag in missing if flag.key == key), missing)
            if not missing or not takes_run:
                break
        flags = [flag for flag in FLAGS[command] if flag in typed or flag in differing]
        words_of_flags = [word for flag in flags for word in flag.words(self.config)]
        return " ".join(["nastool", command, *map(quote, (*words, *file, *words_of_flags))])

    @property
    def gives_space(self) -> bool:
        """Whether a flag of the command line names the space."""
        return any(flag.key in self.given for flag in SPACE)

    def with_backend(self, backend: str) -> "Invocation":
        """The same with another backend."""
        profile = self.config.profile.model_copy(update={"backend": backend})
        return replace(self, config=self.config.model_copy(update={"profile": profile}))

    def with_device(self, device: str) -> "Invocation":
        """The same on another device."""
        profile = self.config.profile.model_copy(update={"device": device, "devices": (device,)})
        return replace(self, config=self.config.model_copy(update={"profile": profile}))


def configured(
    command: str, preset: str | None = None, takes_file: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command its flags of `FLAGS`; it is called with the `Invocation` that they make.

    Args:
        preset: the configuration in place of nastool.toml.
        takes_file: whether it has --config. A file changes the preset.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        flags = FLAGS[command]

        def run(**values: Any) -> None:
            file = values.pop("config", None)
            given = {flag: values.pop(flag.parameter.name) for flag in flags}
            if command == "retrain" and values["published"] is not None:
                given = _of_published(given, values["published"])
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


def _of_published(flags: Mapping[Flag, Any], name: str) -> dict[Flag, Any]:
    """The flags that train a published network: with its space, and a run of its name, where no flag gives another.

    Raises:
        BadArchitecture: the name is unknown.
    """
    from toolchain.nets.published import published

    own = {"space": published(name).space, "run": name}
    return {flag: own.get(flag.key) if value is None else value for flag, value in flags.items()}


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


def with_fitted_space(invocation: Invocation) -> Invocation:
    """The same with the options of the space that images in a folder set, where they are left out."""
    if not (invocation.config.data or "").startswith("folder:"):
        return invocation
    from toolchain.training.fitted_space import with_fitted_space

    return replace(invocation, config=with_fitted_space(invocation.config, invocation.folders))


def say_space(invocation: Invocation, config: "Config") -> None:
    """Say which space a command works on, before what takes seconds, and whether nothing names it."""
    assumed = (
        " (the paper's, for ImageNet), since nothing names one. Choose another with --space, or by your images with "
        "nastool init --data folder:PATH"
    )
    console.say(f"space: {config.space}{assumed if invocation.assumes_space else ''}")


def with_recipe(invocation: Invocation, stage: str = "") -> Invocation:
    """The same with recipes that suit the data, where neither the command, its file nor its run names them.

    Args:
        stage: the section whose recipe is said, `train` or `retrain`; none by default.
    """
    from toolchain.training.recipe_choice import with_chosen_recipes

    config, notes = with_chosen_recipes(invocation.config, invocation.folders)
    if stage in notes:
        console.say(notes[stage])
    return replace(invocation, config=config)


def in_processes(nproc: int | None) -> bool:
    """Run this command in `nproc` processes, if it is more than one and this is not one of them already.

    Raises:
        BadConfig: more processes than this machine has cores, or could have GPUs.
    """
    if nproc is None or nproc == 1 or world() > 1:
        return False
    if nproc > (most := max(MAX_GPUS, os.cpu_count() or 1)):
        from toolchain.errors import BadConfig

        raise BadConfig(f"--nproc {nproc} is too much for one machine: give {most} at most, one for each GPU")
    from toolchain.parallel.launcher import launch

    launch(sys.argv[1:], nproc)
    return True


def require_one(arch: str | None, budget: str | None, published: str | None = None) -> None:
    """Refuse two architectures at once.

    Raises:
        BadConfig: two of --arch, --budget and --published are given.
    """
    from toolchain.errors import BadConfig

    values = {"--arch": arch, "--budget": budget, "--published": published}
    given = [flag for flag, value in values.items() if value is not None]
    if len(given) > 1:
        raise BadConfig(f"{given[0]} and {given[1]} both select an architecture. Give only one")


def selected(arch: str | None, budget: str | None) -> tuple[str, ...]:
    """--arch or --budget, as the next command needs it for the same architecture."""
    if arch is not None:
        return ("--arch", arch)
    return () if budget is None else ("--budget", budget)


def say_which_winner(arch: str | None, budget: str | None, run: "Run") -> None:
    """Of several budgets' winners, one is taken without --budget; say which."""
    if arch is not None or budget is not None or len(run.budgets) < 2:
        return
    console.say(
        f"this is the winner of the last search; {run.folder} has winners of several budgets. Select one with "
        f"--budget {' or '.join(run.budgets)}"
    )
