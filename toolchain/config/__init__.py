"""The configuration of a command: defaults < nastool.toml < flags, checked before any work starts."""

from toolchain.config.reading import FILE, PRESETS, Toml, load_config, parse_config, preset_text
from toolchain.config.run_settings import Given, completed_by, config_in_run, read_given, unused_lines
from toolchain.config.sections import (
    CheckConfig,
    Config,
    ExportConfig,
    ProfileConfig,
    SearchConfig,
)
from toolchain.config.training_sections import ArchitectureConfig, RetrainConfig, SupernetConfig, TrainConfig

__all__ = [
    "FILE",
    "PRESETS",
    "ArchitectureConfig",
    "CheckConfig",
    "Config",
    "ExportConfig",
    "Given",
    "ProfileConfig",
    "RetrainConfig",
    "SearchConfig",
    "SupernetConfig",
    "Toml",
    "TrainConfig",
    "completed_by",
    "config_in_run",
    "load_config",
    "parse_config",
    "preset_text",
    "read_given",
    "unused_lines",
]
