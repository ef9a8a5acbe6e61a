"""All keys of nastool.toml, and the one that a mistyped key is nearest to."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from pydantic import BaseModel

from toolchain.config.sections import Config

TRAININGS = ("train", "retrain")  # sections that have a recipe
CUTOFF = 0.6  # of difflib's ratio: "popluation" has 0.9 to "population"


def all_keys(model: type[BaseModel] = Config, inside: str = "") -> Iterator[str]:
    """The dotted keys of a model and its sections: `run`, `profile.batch`."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from all_keys(section, f"{inside}{name}.")
        else:
            yield f"{inside}{name}"


def nearest_key(key: str, keys: Sequence[str]) -> str | None:
    """The key of `keys` that `key` was probably meant to be; None if none is near.

    The same name in another section comes first (`batch` -> `profile.batch`), then a similar one in the same section.
    """
    section, _, name = key.rpartition(".")
    elsewhere = {known.rpartition(".")[2]: known for known in reversed(keys)}
    if name in elsewhere:
        return elsewhere[name]
    beside = {known.rpartition(".")[2]: known for known in keys if known.rpartition(".")[0] == section}
    near = get_close_matches(name, beside, n=1, cutoff=CUTOFF)
    if near:
        return beside[near[0]]
    near = get_close_matches(name, elsewhere, n=1, cutoff=0.8)
    return elsewhere[near[0]] if near else None


def unknown_key(key: str, keys: Sequence[str]) -> str:
    """`unknown key; the nearest is profile.device`"""
    near = nearest_key(key, keys)
    if near is not None:
        return f"unknown key; the nearest is {near}"
    section = key.partition(".")[0]
    if section in TRAININGS:
        return f"unknown key. Keys of the recipe, such as epochs, are written in [{section}.changes]"
    return "unknown key"


def unknown_section(name: str, keys: Sequence[str]) -> str:
    """`unknown section; the nearest is [search]`"""
    sections = dict.fromkeys(key.rpartition(".")[0] for key in keys if "." in key)
    near = get_close_matches(name, sections, n=1, cutoff=CUTOFF)
    return f"unknown section; the nearest is [{near[0]}]" if near else f"unknown section. Known: {', '.join(sections)}"
