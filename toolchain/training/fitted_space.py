"""Classes, channels and input size of a space from the user's images, where the configuration leaves them out."""

from dataclasses import fields

from toolchain.config import Config
from toolchain.spaces import PRESETS
from toolchain.spaces.model_source import with_option
from toolchain.training.data_name import require_data
from toolchain.training.image_survey import SurveyedFolders


def with_fitted_space(config: Config, folders: SurveyedFolders | None = None) -> Config:
    """The configuration with the options of its space that its data set, where it is `folder:` and they are left out.

    A space of a file, and images that cannot be read, are left as they are: loading them gives the error.

    Args:
        folders: what the command has listed already.

    Raises:
        BadData: the folder does not exist, or has no class folders.
    """
    family, _, options = config.space.partition(":")
    data = config.data or ""
    if not data.startswith("folder:") or family not in PRESETS:
        return config
    named = {option.partition("=")[0].strip() for option in options.split(",")}
    preset = PRESETS[family][1]
    missing = [name for name in ("classes", "in_channels", "size_px") if name not in named and _has(preset, name)]
    if not missing:
        return config
    require_data(data)
    survey = (folders or SurveyedFolders()).of(data).survey
    if survey is None:
        return config
    values = {
        "classes": survey.classes,
        "in_channels": survey.channels,
        "size_px": survey.size_px(preset.size_px),
    }
    space = config.space
    for name in missing:
        space = with_option(space, name, values[name])
    return config.model_copy(update={"space": space})


def _has(preset: object, option: str) -> bool:
    return any(field.name == option for field in fields(preset))  # type: ignore[arg-type]  # a dataclass of options
