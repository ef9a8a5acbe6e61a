"""Search spaces by name: `shufflenet_v2`, with options `shufflenet_v2:size_px=160,classes=37`, or from a user's file,
`path/to/file.py:my_space`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolchain.errors import UnknownSpace
from toolchain.spaces import fbnet, proxyless, resnet, shufflenet_v2
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.fixed import fixed_ops_of
from toolchain.spaces.option_text import ordered_options, parse_options, split_options
from toolchain.spaces.user_file import load_user_space

Build = Callable[[str, Any], SearchSpace]  # (name, options) -> space

PRESETS: Mapping[str, tuple[Build, Any]] = {
    "shufflenet_v2": (shufflenet_v2.shufflenet_v2, shufflenet_v2.PAPER),
    "shufflenet_v2_channels": (shufflenet_v2.shufflenet_v2, shufflenet_v2.CHANNELS),
    "shufflenet_v2_joint": (shufflenet_v2.shufflenet_v2, shufflenet_v2.JOINT),
    "shufflenet_v2_quick": (shufflenet_v2.shufflenet_v2, shufflenet_v2.QUICK),
    "proxyless": (proxyless.proxyless, proxyless.DEFAULT),
    "proxyless_mobile": (proxyless.proxyless, proxyless.MOBILE),
    "proxyless_gpu": (proxyless.proxyless, proxyless.GPU),
    "fbnet": (fbnet.fbnet, fbnet.DEFAULT),
    "resnet18_bits": (resnet.resnet, resnet.RESNET18),
    "resnet34_bits": (resnet.resnet, resnet.RESNET34),
}


def load_space(text: str, fixed_ops: str | None = None, widths: str | None = None) -> SearchSpace:
    """The search space named `text`. Lists are joined by `-`: `stage_widths=64-128,stage_repeats=4-2`.

    Its name lists the options in the order of the family's `Options`, whatever order `text` has.

    Args:
        fixed_ops: an architecture or a best.json; its op becomes the only op of each choice block.
        widths: multiples of the default mid channels to choose from, such as `0.6-0.8-1.0`.

    Raises:
        UnknownSpace: the name or an option is unknown, or a value is out of range.
        BadArchitecture: `fixed_ops` is not an architecture of the space.
    """
    name, _, options = text.partition(":")
    if name.endswith(".py"):
        if fixed_ops is not None or widths is not None:
            raise UnknownSpace(f"--fixed-ops and --widths do not apply to {text!r}: define its choices in the file")
        return load_user_space(Path(name), options, text)
    values = split_options(options, text)
    if fixed_ops is not None:
        values["fixed_ops"] = "-".join(fixed_ops_of(fixed_ops, _preset(name, values, text)))
        widths = widths or values.get("widths") or "-".join(f"{width:g}" for width in _channel_widths(name, values))
    if widths is not None:
        values["widths"] = widths
    return _preset(name, values, text)


def _channel_widths(name: str, values: Mapping[str, str]) -> tuple[float, ...]:
    """The widths of a channel search: the paper's, or fewer where they are rounded to multiples."""
    _, options = PRESETS[name]
    round_to = values.get("round_to", str(getattr(options, "round_to", 1)))
    return shufflenet_v2.WIDTHS if round_to == "1" else shufflenet_v2.ROUNDED_WIDTHS


def _preset(name: str, values: Mapping[str, str], text: str) -> SearchSpace:
    if name not in PRESETS:
        raise UnknownSpace(
            f"unknown space {name!r}. Known spaces: {', '.join(PRESETS)}; your own is path/to/file.py:my_space"
        )
    build, options = PRESETS[name]
    changes = parse_options(options, values, text)
    ordered = ordered_options(options, values)
    try:
        return build(f"{name}:{ordered}" if ordered else name, replace(options, **changes))
    except ValueError as problem:
        raise UnknownSpace(f"space {text!r}: {problem}") from None
