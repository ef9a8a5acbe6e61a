"""The options in the name of a search space: `size_px=160,classes=37`."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from toolchain.errors import UnknownSpace


def split_options(options: str, text: str) -> dict[str, str]:
    """`size_px=160,classes=37` by option name.

    Args:
        text: the space as the user wrote it, for messages.

    Raises:
        UnknownSpace: an option is given twice.
    """
    values: dict[str, str] = {}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key.strip() in values:
            raise UnknownSpace(f"space {text!r} has the option {key.strip()!r} twice. Remove one of them")
        values[key.strip()] = value.strip()
    return values


def parse_options(options: Any, values: Mapping[str, str], text: str) -> dict[str, Any]:
    """The values of `values` in the types of the fields of the dataclass `options`.

    Raises:
        UnknownSpace: an option is unknown, or its value has another type.
    """
    return {key: _parse(options, key, value, text) for key, value in values.items()}


def ordered_options(options: Any, values: Mapping[str, str]) -> str:
    """`size_px=160,classes=37` in the order of the fields of `options`."""
    return ",".join(f"{option.name}={values[option.name]}" for option in fields(options) if option.name in values)


def _parse(options: Any, key: str, value: str, text: str) -> Any:
    types = {option.name: option.type for option in fields(options)}
    if key not in types:
        raise UnknownSpace(f"space {text!r} has no option {key!r}. Options: {', '.join(types)}")
    parsers: dict[Any, Callable[[str], Any]] = {
        str: str,
        int: int,
        float: float,
        bool: lambda word: {"true": True, "false": False}[word],
        tuple[int, ...]: lambda words: tuple(map(int, words.split("-"))),
        tuple[float, ...]: lambda words: tuple(map(float, words.split("-"))),
        tuple[str, ...]: lambda words: tuple(words.split("-")),
    }
    try:
        return parsers[types[key]](value)
    except (ValueError, KeyError):
        raise UnknownSpace(f"space {text!r}: {value!r} is not a valid value for {key}") from None
