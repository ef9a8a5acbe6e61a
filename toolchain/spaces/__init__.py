"""Search spaces by name: `shufflenet_v2`, or with options `shufflenet_v2:size_px=160,classes=37`."""

from dataclasses import fields, replace
from typing import Any

from toolchain.errors import UnknownSpace
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.shufflenet_v2 import PAPER, QUICK, Numbers, shufflenet_v2

PRESETS = {"shufflenet_v2": PAPER, "shufflenet_v2_quick": QUICK}


def load_space(text: str) -> SearchSpace:
    """The space that `text` names. Lists are joined by `-`: `stage_widths=64-128,stage_repeats=4-2`.

    Raises:
        UnknownSpace: no such name or option, or a value that does not fit.
    """
    name, _, options = text.partition(":")
    if name not in PRESETS:
        raise UnknownSpace(f"unknown space {name!r}. Known spaces: {', '.join(PRESETS)}")
    changes: dict[str, Any] = {}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        changes[key.strip()] = _parse(key.strip(), value, text)
    try:
        return shufflenet_v2(text, replace(PRESETS[name], **changes))
    except ValueError as problem:
        raise UnknownSpace(f"space {text!r}: {problem}") from None


def _parse(key: str, value: str, text: str) -> int | float | tuple[int, ...]:
    known = {field.name: field.type for field in fields(Numbers)}
    if key not in known:
        raise UnknownSpace(f"space {text!r} has no option {key!r}. Options: {', '.join(known)}")
    try:
        if known[key] is int:
            return int(value)
        return float(value) if known[key] is float else tuple(int(part) for part in value.split("-"))
    except ValueError:
        raise UnknownSpace(f"space {text!r}: {value!r} is no value for {key}") from None
