"""Names of spaces that are derived from a user's model: `model:torchvision:resnet18:size_px=32,classes=10`.

This file parses the name; `toolchain/nets/model_space` derives the space.
"""

from dataclasses import dataclass, replace
from typing import Any

from toolchain.errors import UnknownSpace
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.spaces.option_text import ordered_options, parse_options, split_options
from toolchain.spaces.validation import check_numbers

PREFIX = "model:"
SKIP = "skip"  # the identity in place of a block
WIDTHS = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25)  # of the channels inside a block
DEFAULT_SIZE_PX = 224
LIBRARIES = ("torchvision", "timm")
FORM = "model:torchvision:NAME, model:timm:NAME or model:path/to/file.py:FUNCTION"


@dataclass(frozen=True)
class ModelOptions:
    """Options of a space that is derived from a model; 0 stands for the model's own value."""

    in_channels: int = 0
    size_px: int = DEFAULT_SIZE_PX
    classes: int = 0
    widths: tuple[float, ...] = WIDTHS
    round_to: int = 8  # narrower channels are a multiple of this
    between: float = 1.0  # the share of the channels that no block chooses, such as those between blocks


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        name: the space's name, with its options in the order of `ModelOptions`.
        library: torchvision, timm, or the path of a Python file.
        function: name of the model in the library, or of the function, class or module in the file.
    """

    name: str
    library: str
    function: str
    options: ModelOptions

    @property
    def is_file(self) -> bool:
        return self.library not in LIBRARIES


def names_model(text: str) -> bool:
    """Whether the name of a space begins with `model:`."""
    return text.startswith(PREFIX)


def model_source(text: str, widths: str | None = None) -> ModelSource:
    """The source and the options in the name of a space, `model:LIBRARY:NAME[:OPTIONS]`.

    Args:
        widths: multiples of the channels inside a block to choose from, such as `0.5-0.75-1.0`.

    Raises:
        UnknownSpace: the text has another form, or an option is unknown or out of range.
    """
    library, _, rest = text.removeprefix(PREFIX).partition(":")
    function, _, options = rest.partition(":")
    if not function or not (library in LIBRARIES or library.endswith(".py")):
        raise UnknownSpace(f"space {text!r} names no model. Write --space {FORM}")
    values = split_options(options, text)
    if "x" in values.get("size_px", ""):
        raise UnknownSpace(f"space {text!r}: input images must be square. Write one number, such as size_px=224")
    if widths is not None:
        values["widths"] = widths
    default = ModelOptions()
    changes = parse_options(default, values, text)
    try:
        _check(changes)
    except ValueError as problem:
        raise UnknownSpace(f"space {text!r}: {problem}") from None
    ordered = ordered_options(default, values)
    name = f"{PREFIX}{library}:{function}"
    return ModelSource(f"{name}:{ordered}" if ordered else name, library, function, replace(default, **changes))


def with_option(text: str, key: str, value: int | str | None) -> str:
    """The name of a space with one option set, or left out (None), and its other options kept.

    Built-in spaces have their options after the first colon, models after the third.
    """
    parts = text.split(":", 3 if names_model(text) else 1)
    fixed = parts[:3] if names_model(text) else parts[:1]
    options = parts[len(fixed)] if len(parts) > len(fixed) else ""
    others = [option for option in options.split(",") if option and option.partition("=")[0].strip() != key]
    changed = others if value is None else [*others, f"{key}={value}"]
    return ":".join([*fixed, ",".join(changed)] if changed else fixed)


def at_full_width(source: ModelSource) -> ModelSource:
    """The same with all channels between blocks."""
    return model_source(with_option(source.name, "between", None))


def _check(changes: dict[str, Any]) -> None:
    """Check the options that the user gave.

    Raises:
        ValueError: one is out of range.
    """
    if not 0 < changes.get("between", 1.0) <= 1:
        raise ValueError(f"between is {changes['between']:g}; it must be above 0 and at most 1, the model's own width")
    check_numbers(ModelOptions(**{"in_channels": 3, "classes": 1, **changes}))
    widths = changes.get("widths", WIDTHS)
    if max(widths) != 1.0:
        raise ValueError(f"widths {'-'.join(map('{:g}'.format, widths))}: the largest must be 1, the model's own width")


def full_architecture(space: SearchSpace) -> Architecture:
    """The model itself as an architecture of the space that is derived from it: the first choice of each block."""
    return space.architecture([0] * len(space.blocks))
