"""The preset that suits a data set, where neither a flag, nastool.toml nor the run names a space."""

import math
import re
import tomllib
from dataclasses import replace
from importlib.util import find_spec

from toolchain.config import Config, Given, Toml, completed_by, config_in_run, preset_text
from toolchain.training.image_survey import SurveyedFolders
from toolchain.training.recipe_choice import PAPER, PHOTOS, QUICK, choose_recipe, count_images

ABOUT_DEVICE = ("device", "backend")  # a preset does not choose where latencies are measured
QUICK_IMAGES = 60_000  # that the epochs of the preset quick are meant for, those of Fashion-MNIST


def preset_for(data: str, folders: SurveyedFolders) -> str:
    """The preset that suits a data set: `photos`, `quick` or `imagenet`."""
    return choose_recipe(data, folders)[0]


def fitted_preset_text(name: str, data: str, folders: SurveyedFolders) -> str:
    """The nastool.toml of a preset for a data set; few images have more of `quick`'s epochs, as in the recipe `photos`.

    Raises:
        BadConfig: there is no such preset.
    """
    text = preset_text(name, data)
    images = count_images(data, folders) if name == QUICK else 0
    if images in (0, QUICK_IMAGES):
        return text
    factor = math.sqrt(QUICK_IMAGES / images)

    def more(match: re.Match[str]) -> str:
        return f"epochs = {float(f'{float(match[1]) * factor:.2g}'):g}"

    return re.sub(r"(?<![_\w])epochs = ([\d.]+)", more, text)


def suited_config(given: Given, command: str, folders: SurveyedFolders) -> tuple[Config, str]:
    """The configuration of a command, and a sentence if a preset was chosen for it, else an empty text.

    A recipe that is given chooses its own preset; otherwise the data set does.

    Args:
        command: takes settings from its run, if that exists; empty for a command outside of runs.
        folders: what the command has listed already.

    Raises:
        BadConfig: a value is invalid, or contradicts the run.
    """
    config = config_in_run(given, command) if command else given.config()
    data = config.data
    if data is None or _has_space(given, config, command) or _has_weights(config):
        return config, ""
    if find_spec("PIL") is None:  # in nastool-check, whose commands say what they need
        return config, ""
    recipe = _given_recipe(config)
    name, reason = choose_recipe(data, folders) if recipe is None else (recipe, "it is that of the recipe")
    settings = _settings(name, data, folders)
    for section in ("train", "retrain"):
        part = getattr(config, section)
        if "recipe" in part.model_fields_set and part.recipe != settings[section]["recipe"]:
            settings[section].pop("changes", None)  # they are of the other recipe
    chosen = replace(given, content=completed_by(settings, given.content)).config()
    return chosen, f"settings: preset {name}, since {reason}. Choose others with --space and --recipe"


def assumes_space(given: Given, config: Config, command: str) -> bool:
    """Whether a configuration has the default space because nothing names another."""
    return config.data is None and not _has_space(given, config, command)


def _has_space(given: Given, config: Config, command: str) -> bool:
    """Whether a flag, the file or the run names a space."""
    stored = bool(command) and (config.runs / config.run / "config.toml").is_file()
    return stored or "space" in given.flags or "space" in given.content


def _has_weights(config: Config) -> bool:
    """Whether a training starts from weights, which are those of one space."""
    return config.train.start_from is not None or config.retrain.start_from not in ("scratch", "supernet")


def _given_recipe(config: Config) -> str | None:
    """The recipe that flags or the file name, if it has a preset."""
    sections = (config.train, config.retrain)
    names = [section.recipe for section in sections if "recipe" in section.model_fields_set]
    return next((name for name in names if name in (PHOTOS, QUICK, PAPER)), None)


def _settings(name: str, data: str, folders: SurveyedFolders) -> Toml:
    """What a preset sets, but for the run, the data and the device.

    The paper's are the defaults: the rest of its preset is for ImageNet alone.
    """
    if name == PAPER:
        return {"train": {"recipe": PAPER}, "retrain": {"recipe": PAPER}}
    settings = tomllib.loads(fitted_preset_text(name, data, folders))
    profile = {key: value for key, value in settings["profile"].items() if key not in ABOUT_DEVICE}
    return {key: value for key, value in settings.items() if key not in ("run", "data")} | {"profile": profile}
