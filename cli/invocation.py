"""A command with its configuration, and the hints for the next command."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from cli import console
from cli.flag import Flag
from cli.flag_groups import RUN, SPACE
from cli.flags import FLAGS

if TYPE_CHECKING:
    from toolchain.config import Config
    from toolchain.training.image_survey import SurveyedFolders

DECISIVE = ("data", "space", "train.recipe", "retrain.recipe")  # others may follow from each of these


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
