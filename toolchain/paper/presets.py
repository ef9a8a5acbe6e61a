"""The configuration of a table or figure: that of a preset of nastool, changed by the table, a file and flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolchain.config import Config
from toolchain.config.reading import config_of, merged, preset_content, read_content
from toolchain.errors import BadConfig
from toolchain.paper.request import TableRequest

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


def paper_config(request: TableRequest, presets: Mapping[str, Preset]) -> Config:
    """The configuration of a table; its runs are in `RUNS/paper/TABLE`.

    Args:
        presets: of the table, by name.

    Raises:
        BadConfig: the preset is unknown, or a value is invalid.
    """
    if request.preset not in PRESETS:
        raise BadConfig(f"unknown preset {request.preset!r} of a table. Known presets: {', '.join(PRESETS)}")
    preset = presets[request.preset]
    where = f"the preset {request.preset} of {request.name}"
    content = config_of(preset_content(request.preset), {**COMMON, **preset.changes}, where).as_dict()
    if request.file is not None:
        content = merged(content, read_content(request.file))
        where = str(request.file)
    config = config_of(content, {**request.flags, **preset.required}, where)
    return config.model_copy(update={"runs": config.runs / "paper" / request.name})
