"""The spaces of published networks at the size of another space: the same blocks, narrower and for smaller images."""

from dataclasses import replace
from typing import Any

from toolchain.spaces import PRESETS
from toolchain.spaces.mbconv import scaled
from toolchain.spaces.option_text import parse_options, split_options

SIZE = ("in_channels", "size_px", "classes", "stem_stride")


def sized_space(published: str, base: str) -> str:
    """The space of a published network with the image size, classes and width multiplier of `base`.

    Args:
        published: a space of the families proxyless or fbnet, as text.
        base: a space of the family proxyless; its `multiplier`, relative to that of its preset, narrows the published
            one.
    """
    base_name, _, base_text = base.partition(":")
    given = split_options(base_text, base)
    name, _, text = published.partition(":")
    own = split_options(text, published)
    own_multiplier = PRESETS[base_name][1].multiplier
    multiplier = float(given.get("multiplier", own_multiplier)) / own_multiplier
    options = replace(PRESETS[name][1], **parse_options(PRESETS[name][1], own, published))
    changes = {**own, **{key: given[key] for key in SIZE if key in given}, **_narrowed(name, options, multiplier)}
    return f"{name}:{','.join(f'{key}={value}' for key, value in changes.items())}" if changes else name


def _narrowed(name: str, options: Any, multiplier: float) -> dict[str, str]:
    """The options that multiply all channels."""
    if multiplier == 1.0:
        return {}
    if name.startswith("proxyless"):
        return {"multiplier": f"{multiplier * options.multiplier:g}"}
    widths = "-".join(str(scaled(width, multiplier)) for width in options.stage_widths)
    return {
        "stem_channels": str(scaled(options.stem_channels, multiplier)),
        "stage_widths": widths,
        "head_channels": str(scaled(options.head_channels, multiplier)),
    }
