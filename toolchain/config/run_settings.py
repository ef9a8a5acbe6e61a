"""The settings of a command that works in an existing run: what it is about comes from the run's config.toml.

docs/decisions/0050-a-run-remembers.md gives the precedence and its reasons.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tomli_w

from toolchain.config.reading import FILE, Toml, config_of, read_content
from toolchain.config.sections import Config
from toolchain.errors import BadConfig, NastoolError

IDENTITY = ("space", "fixed_ops", "widths", "data", "holdout_per_class", "seed")
ABOUT_RUN = (*IDENTITY, "threads", "workers", "cache", "track", "deterministic")  # of all commands of a run
SPACE = ("space", "fixed_ops", "widths")
DATA_SETS = ("digits", "fashion-mnist", "folder", "wds")
OF_DATA = ("classes", "in_channels", "size_px")  # options of a space that the data sets
OF_ONE_SEARCH = ("latency", "macs", "params", "bitops", "weight_bits", "shared", "learned")  # not of the run
SECTIONS = ("profile", "train", "search", "retrain")
AFTER_SEARCH = ("retrain", "export", "check", "rank", "cost", "draw")  # they keep the target of the search
EXCLUSIVE = (  # a given key of a group replaces the run's values of the second group
    ("profile", ("device", "devices"), ("device", "devices", "estimate", "backend", "target")),
    ("profile", ("estimate", "backend", "target"), ("estimate", "backend", "target")),
    ("train", *2 * (("sampler", "budgets", "sample_range", "sample_by", "levels"),)),
)


@dataclass(frozen=True)
class Given:
    """What the user gave: the content of `file`, and flags by dotted key with their names on the command line.

    `explicit` says that the file was named with --config.
    """

    file: Path
    content: Toml
    flags: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    explicit: bool = False

    def config(self) -> Config:
        """The configuration without a run."""
        return config_of(self.content, self.flags, str(self.file), self.labels)

    def describes_other(self, run: str) -> bool:
        """Whether the file is that of another run, because a flag names this one."""
        return not self.explicit and "run" in self.flags and self.content.get("run", run) != run


def read_given(file: Path | None, flags: Mapping[str, Any], labels: Mapping[str, str] = MappingProxyType({})) -> Given:
    """The content of `file` (or ./nastool.toml if it exists) and the flags.

    Raises:
        BadConfig: see `load_config`.
    """
    return Given(file or FILE, read_content(file), flags, labels, explicit=file is not None)


def config_in_run(given: Given, command: str) -> Config:
    """The configuration of a command, completed by the settings of the run that it names, if that exists.

    Raises:
        BadConfig: a value is invalid, or contradicts what the run was made with.
    """
    config = given.config()
    stored_file = config.runs / config.run / "config.toml"
    if not stored_file.is_file():
        return config
    stored = _stored(stored_file)
    made = _is_made(stored_file.parent)
    content = _without(given.content, _keys_of_run(given, config, command, made))
    merged_content = completed_by(_remembered(stored, given, content), content)
    merged = config_of(merged_content, given.flags, str(given.file), given.labels)
    before = config_of(stored, {}, str(stored_file))
    merged = _completed(_with_password(merged, given.content), before)
    if made:
        _require_same(_sources(given, content, command), merged, before, stored_file)
    return merged


def unused_lines(given: Given, config: Config) -> Iterator[str]:
    """A note for each line of the run's own nastool.toml that the run was made with another value of."""
    if given.describes_other(config.run):
        return
    for key in ("data", "space", "holdout_per_class", "seed"):
        value, used = given.content.get(key), getattr(config, key)
        if key in given.content and key not in given.flags and value != used and not _extends(key, used, value):
            yield f"run {config.run}: {key} is {used}, as the run was made; {given.file} has {value}"


def _extends(key: str, used: Any, value: Any) -> bool:
    """Whether the space in use is the given one with the options that the data sets."""
    return key == "space" and isinstance(value, str) and str(used).startswith(value)


def _stored(file: Path) -> Toml:
    """The content of a run's config.toml, validated.

    Raises:
        BadConfig: it is damaged.
    """
    try:
        content = read_content(file)
        config_of(content, {}, str(file))
    except BadConfig as problem:
        raise BadConfig(f"{problem}. Correct the file, or remove it and give --space and --data again") from None
    return content


def _keys_of_run(given: Given, config: Config, command: str, made: bool) -> tuple[str, ...]:
    """The keys of the file that the run's values come before."""
    if given.describes_other(config.run):
        return (*IDENTITY, "profile", "train")
    searched = (config.runs / config.run / "search" / "best.json").exists()
    target = ("profile",) if command in AFTER_SEARCH and searched else ()
    if not made or command == "train":
        return target
    moved = _moved(given.content.get("data"), config)
    return tuple(key for key in IDENTITY if key != "data" or not moved) + target


def _moved(data: Any, config: Config) -> bool:
    """Whether the file names the folder that the run's data have moved to."""
    stored = read_content(config.runs / config.run / "config.toml").get("data")
    texts = (str(text) for text in (data, stored))
    folders = [Path(text.partition(":")[2]) for text in texts if text.startswith("folder:")]
    return len(folders) == 2 and folders[0].is_dir() and not folders[1].is_dir()


def _remembered(stored: Toml, given: Given, content: Toml) -> Toml:
    """The part of the run's settings that its next command starts from."""
    kept = {key: value for key, value in stored.items() if key in ABOUT_RUN}
    for name in SECTIONS:
        kept[name] = dict(stored.get(name, {}))
    for key in OF_ONE_SEARCH:
        kept["search"].pop(key, None)
    space = given.flags.get("space", content.get("space"))
    if space is not None and space != kept.get("space"):  # the others are of the run's space
        kept = _without(kept, ("fixed_ops", "widths"))
    for section, group, replaced in EXCLUSIVE:
        typed = {key.partition(".")[2] for key in given.flags if key.startswith(f"{section}.")}
        typed |= set(content.get(section, {}))
        if typed & set(group):
            kept[section] = _without(kept[section], replaced)
    return kept


def _without(content: Toml, keys: Sequence[str]) -> Toml:
    return {key: value for key, value in content.items() if key not in keys}


def completed_by(low: Toml, high: Toml) -> Toml:
    """`high`, completed by `low`, section by section; `changes` of a recipe are replaced with the recipe."""
    merged = dict(low)
    for key, value in high.items():
        section = merged.get(key)
        if isinstance(section, dict) and isinstance(value, dict):
            other_recipe = value.get("recipe", section.get("recipe")) != section.get("recipe")
            merged[key] = (_without(section, ("changes",)) if other_recipe else section) | value
        else:
            merged[key] = value
    return merged


def _completed(config: Config, stored: Config) -> Config:
    """The given space with the options that the data of the run set, where it leaves them out."""
    family, _, options = config.space.partition(":")
    stored_family, _, stored_options = stored.space.partition(":")
    if family != stored_family or family.endswith(".py") or not (stored.data or "").startswith("folder:"):
        return config
    named = {option.partition("=")[0].strip() for option in options.split(",")}
    missing = [
        option
        for option in stored_options.split(",")
        if option.partition("=")[0].strip() in OF_DATA and option.partition("=")[0].strip() not in named
    ]
    text = ",".join([*filter(None, options.split(",")), *missing])
    return config.model_copy(update={"space": f"{family}:{text}" if text else family})


def _with_password(config: Config, content: Toml) -> Config:
    """The table's address with the password in nastool.toml, which the run does not hold."""
    from latency_db.where import shown

    section = content.get("profile", {})
    address = section.get("db") if isinstance(section, dict) else None
    if address is None or config.profile.db == address or shown(address) != config.profile.db:
        return config
    return config.model_copy(update={"profile": config.profile.model_copy(update={"db": address})})


def _is_made(run: Path) -> bool:
    """Whether a file of the run depends on its space and data."""
    return (run / "supernet" / "checkpoint.pt").exists() or any((run / "retrain").glob("*/*.pt"))


def _sources(given: Given, content: Toml, command: str) -> dict[str, str]:
    """Where each given key of the run's identity comes from, for messages.

    Lines of the file count for training only: other commands take the run's values instead.
    """
    flags = {key: given.labels.get(key, key) for key in IDENTITY if key in given.flags}
    lines = {key: f"{given.file}, {key}" for key in IDENTITY if key in content} if command == "train" else {}
    return lines | flags


def _require_same(sources: Mapping[str, str], config: Config, stored: Config, file: Path) -> None:
    """Refuse a given value that contradicts what the run was made with.

    Args:
        sources: where each given key comes from.

    Raises:
        BadConfig: names both values.
    """
    for key, source in sources.items():
        now, earlier = getattr(config, key), getattr(stored, key)
        if now == earlier or _is_same(key, config, stored):
            continue
        was = f"was made with {key} {earlier}" if earlier is not None else f"was made without {key}"
        raise BadConfig(
            f"{source}: {now} contradicts the run {config.run}, which {was} ({file}). "
            f"Leave it out, or start another run with --run NAME"
        )


def _is_same(key: str, config: Config, stored: Config) -> bool:
    """Whether two texts name the same, or only reading the data can tell."""
    if key == "data":
        now, earlier = ((settings.data or "").partition(":")[0] for settings in (config, stored))
        if now not in DATA_SETS:  # loading it gives the error
            return True
        return now == earlier and now in ("folder", "wds")  # a moved folder is the same data
    if key not in SPACE:
        return False
    from toolchain.spaces import load_space

    now_space = load_space(config.space, config.fixed_ops, config.widths)
    try:
        return now_space.digest == load_space(stored.space, stored.fixed_ops, stored.widths).digest
    except NastoolError:
        return False


def stored_content(earlier: Path, config: Config, own: Sequence[str]) -> str:
    """The text of a run's config.toml after a command: its own sections, and those of earlier commands.

    Args:
        earlier: the file as it is; it may not exist.
        own: keys and sections that the command replaces.
    """
    content = config.as_dict()
    try:
        kept = config_of(read_content(earlier), {}, str(earlier)).as_dict() if earlier.is_file() else content
    except BadConfig:
        kept = content
    replaced = (*own, "run", "runs")
    merged = _without(kept, replaced) | {key: value for key, value in content.items() if key in replaced}
    return tomli_w.dumps({key: merged[key] for key in Config.model_fields if key in merged})
