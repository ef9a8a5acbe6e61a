"""nastool.toml and the presets, read and overridden by flags."""

import re
import reprlib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tomli_w
from pydantic import ValidationError

from toolchain.config.keys import all_keys, unknown_key, unknown_section
from toolchain.config.sections import Config
from toolchain.errors import BadConfig, os_error_text

FILE = Path("nastool.toml")
PRESETS = ("quick", "photos", "imagenet", "shrink")
# Keys of nastool 0.1.0 that a nastool.toml or a run's config.toml may still have -> today's keys.
OLD_KEYS = {
    "fix_ops": "fixed_ops",
    "profile.stack": "profile.target",
    "search.random_baseline": "search.random_search",
}
MAX_SHOWN = 120  # characters of a wrong value in a message

Toml = dict[str, Any]  # as tomllib returns it; `Config` checks the values


def preset_text(name: str, data: str | None = None) -> str:
    """The commented nastool.toml of a preset.

    Args:
        data: the data set in place of that of the preset.

    Raises:
        BadConfig: there is no such preset.
    """
    if name not in PRESETS:
        raise BadConfig(f"unknown preset {name!r}. Known presets: {', '.join(PRESETS)}")
    text = (resources.files("toolchain") / "presets" / f"{name}.toml").read_text()
    if data is None:
        return text
    line = tomli_w.dumps({"data": data}).strip()
    return re.sub(r'^(# )?data = "[^"]*"', lambda _: line, text, count=1, flags=re.MULTILINE)


def load_config(
    path: Path | None,
    flags: Mapping[str, Any],
    labels: Mapping[str, str] = MappingProxyType({}),
    preset: str | None = None,
) -> Config:
    """Read `path` (or ./nastool.toml if it exists) and override its values by `flags`.

    Args:
        flags: values by dotted key, as `profile.batch`.
        labels: the name of each flag on the command line, for messages.
        preset: what the file changes. Without a path, it is used as it is, whatever ./nastool.toml says.

    Raises:
        BadConfig: the file is missing or not TOML, or a key or value in it or in `flags` is invalid.
    """
    if preset is None:
        return config_of(read_content(path), flags, str(path or FILE), labels)
    base = preset_content(preset)
    if path is None:
        return config_of(base, flags, f"preset {preset}", labels)
    return config_of(merged(base, read_content(path)), flags, str(path), labels)


def preset_content(name: str) -> Toml:
    """The content of a preset, not validated.

    Raises:
        BadConfig: there is no such preset.
    """
    return _parse(preset_text(name), f"preset {name}")


def parse_config(
    text: str, flags: Mapping[str, Any], where: str, labels: Mapping[str, str] = MappingProxyType({})
) -> Config:
    """The configuration in TOML `text`, overridden by `flags`; see `load_config`."""
    return config_of(_parse(text, where), flags, where, labels)


def read_content(path: Path | None) -> Toml:
    """The content of `path`, or of ./nastool.toml if it exists, not validated.

    Raises:
        BadConfig: the file is missing or not TOML.
    """
    if path is not None and path.is_dir():
        raise BadConfig(f"{path} is a folder. Name the file in it, as --config {path / FILE}")
    if path is not None and not path.exists():
        raise BadConfig(f"{path} does not exist. Run nastool init to write a nastool.toml")
    chosen = path or FILE
    try:
        text = chosen.read_text(encoding="utf-8-sig") if chosen.exists() else ""
    except OSError as problem:
        raise BadConfig(os_error_text("read", chosen, problem)) from None
    except UnicodeDecodeError as problem:
        raise BadConfig(f"{chosen} is not UTF-8 text: {problem.reason} at byte {problem.start}. Correct it") from None
    return _parse(text, str(chosen))


def config_of(
    content: Toml, flags: Mapping[str, Any], where: str, labels: Mapping[str, str] = MappingProxyType({})
) -> Config:
    """The configuration with `content`, which is not changed, overridden by `flags`; see `load_config`."""
    content = dict(content)
    for key, value in flags.items():
        *sections, name = key.split(".")
        _section(content, sections, where)[name] = value
    try:
        return Config(**content)
    except ValidationError as problem:
        raise BadConfig(_first_error(problem, flags, where, labels)) from None


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Toml:
    """`base` with the values of `changes`; tables are merged key by key."""
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def _parse(text: str, where: str) -> Toml:
    try:
        content = tomllib.loads(text)
    except ValueError as problem:
        raise BadConfig(f"{where} is not TOML: {problem}") from None
    except RecursionError:
        raise BadConfig(f"{where} is nested too deeply. Only sections with keys are read") from None
    _rename_old_keys(content, where)
    return content


def _rename_old_keys(content: Toml, where: str) -> None:
    for old, new in OLD_KEYS.items():
        *sections, name = old.split(".")
        section: Any = content
        for part in sections:
            section = section.get(part)
        if not isinstance(section, dict) or name not in section:
            continue
        new_name = new.rpartition(".")[2]
        if new_name in section:
            raise BadConfig(f"{where}, {old}: it is now called {new}, which the file has too. Remove {old}")
        section[new_name] = section.pop(name)


def _section(content: Toml, names: Sequence[str], where: str) -> Toml:
    """A copy of the named section, put into `content`."""
    for name in names:
        section = content.get(name, {})
        if not isinstance(section, dict):
            raise BadConfig(f"{where}, {name}: it must be a section with keys (given: {_shortened(section)})")
        content[name] = content = dict(section)
    return content


def _first_error(problem: ValidationError, flags: Mapping[str, Any], where: str, labels: Mapping[str, str]) -> str:
    first = problem.errors()[0]
    key = ".".join(map(str, first["loc"]))
    key = key if len(key) <= MAX_SHOWN else f"{key[:MAX_SHOWN]}..."
    flag = next((flag for flag in flags if key == flag or key.startswith(f"{flag}.")), None)
    source = f"{where}, {key}" if flag is None else labels.get(flag, f"the command line, {key}")
    if isinstance(first["input"], dict) and first["type"] == "value_error":  # of keys together
        return f"{source if flag else where}: {first['msg'].removeprefix('Value error, ')}"
    if first["type"] == "string_pattern_mismatch" and key == "run":
        allowed = "a name has letters, digits, '.', '_' and '-', and begins with a letter or digit"
        return f"{source}: {allowed} (given: {_shortened(first['input'])})"
    unknown = first["type"] == "extra_forbidden"
    if unknown and isinstance(first["input"], dict):
        return f"{source}: {unknown_section(key, tuple(all_keys()))}"
    reason = unknown_key(key, tuple(all_keys())) if unknown else first["msg"].removeprefix("Value error, ")
    return f"{source}: {reason} (given: {_shortened(first['input'])})"


def _shortened(value: object) -> str:
    text = reprlib.repr(value) if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
