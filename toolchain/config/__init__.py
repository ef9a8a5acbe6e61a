"""The configuration of a command: defaults < nastool.toml < flags, checked before any work starts."""

from toolchain.config.reading import FILE, PRESETS, load_config, parse_config, preset_text
from toolchain.config.sections import (
    CheckConfig,
    Config,
    ExportConfig,
    ProfileConfig,
    SearchConfig,
    SupernetConfig,
    TrainConfig,
)

__all__ = [
    "FILE",
    "PRESETS",
    "CheckConfig",
    "Config",
    "ExportConfig",
    "ProfileConfig",
    "SearchConfig",
    "SupernetConfig",
    "TrainConfig",
    "load_config",
    "parse_config",
    "preset_text",
]
