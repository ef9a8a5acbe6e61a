"""The configuration of a table or figure: that of a preset of nastool, changed by the table, a file and flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolchain.config import Config
from toolchain.config.reading import config_of, merged, preset_content, read_content
from toolchain.errors import BadConfig

PRESETS = ("quick", "imagenet")
# of every table: the winner is that of Algorithm 1, and short measurements suffice where no latency is shown
COMMON: Mapping[str, Any] = {
    "search.finalists": 0,
    "search.random_search": False,
    "search.random_select": 0,
    "profile.quiet_timeout_s": 0.0,
}


@dataclass(frozen=True)
class Preset:
    """What a table changes in the preset of the same name.

    Args:
        changes: by dotted key.
        seeds: by default; the paper's results are single runs.
        required: by dotted key, what no file or flag changes, since rows of the table come from it.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    required: Mapping[str, Any] = field(default_factory=dict)


def paper_config(
    table: str, presets: Mapping[str, Preset], preset: str, file: Path | None, flags: Mapping[str, Any]
) -> Config:
    """The configuration of a table; its runs are in `RUNS/paper/TABLE`.

    Args:
        file: nastool.toml that changes the preset; None for none.
        flags: by dotted key, which come last.

    Raises:
        BadConfig: the preset is unknown, or a value is invalid.
    """
    if preset not in PRESETS:
        raise BadConfig(f"unknown preset {preset!r} of a table. Known presets: {', '.join(PRESETS)}")
    where = f"the preset {preset} of {table}"
    base = config_of(preset_content(preset), {**COMMON, **presets[preset].changes}, where).as_dict()
    content = base if file is None else merged(base, read_content(file))
    where = where if file is None else str(file)
    config = config_of(content, {**flags, **presets[preset].required}, where)
    return config.model_copy(update={"runs": config.runs / "paper" / table})
