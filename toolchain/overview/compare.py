"""Two runs side by side: the settings that differ."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from toolchain.config import load_config
from toolchain.errors import MissingStage
from toolchain.runs import Run


def existing_run(runs: Path, name: str) -> Run:
    """The run `name`.

    Raises:
        MissingStage: it does not exist; the message names those that do.
    """
    run = Run(runs / name)
    if "/" not in name and run.config.is_file():
        return run
    names = ", ".join(config.parent.name for config in sorted(runs.glob("*/config.toml")))
    existing = f"Existing runs: {names}" if names else "There is none yet: run nastool init, or nastool quickstart"
    raise MissingStage(f"there is no run {name!r} in {runs}. {existing}")


def different_settings(first: Run, second: Run) -> list[tuple[str, str, str]]:
    """(key, value of the first, value of the second) of each setting that differs, in the order of nastool.toml."""
    one, other = (dict(_flat(load_config(run.config, {}).as_dict())) for run in (first, second))
    keys = [key for key in {**one, **other} if key not in ("run", "runs")]
    return [(key, one.get(key, "-"), other.get(key, "-")) for key in keys if one.get(key) != other.get(key)]


def _flat(content: Mapping[str, object], inside: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{inside}{key}.")
        else:
            yield f"{inside}{key}", str(value)
