"""The types of values in nastool.toml, with their ranges."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from toolchain.files import expand_home

MAX_SEED = 2**62  # torch takes seeds of 63 bits, and repeats add to it
MAX_BATCH = 2**20
MAX_THREADS = 4096
MAX_COUNT = 10**9
MAX_FINALISTS = 1000

# Text that is not empty; None means "not given".
Text = Annotated[str, BeforeValidator(lambda given: _text(given))]
# Text that may begin with a path: `~` in it is the home folder.
PathText = Annotated[Text, AfterValidator(expand_home)]
Folder = Annotated[Path, BeforeValidator(lambda given: expand_home(_text(given)) if isinstance(given, str) else given)]
Count = Annotated[int, Field(gt=0, le=MAX_COUNT)]
Threads = Annotated[int, Field(gt=0, le=MAX_THREADS)]
Batch = Annotated[int, Field(gt=0, le=MAX_BATCH)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]

Epochs = Annotated[float, Field(gt=0, le=1e6)]


def _none_or_several(count: int) -> int:
    if count == 1:
        raise ValueError("a single finalist has no rival. Give 0 for none, or at least 2")
    return count


Finalists = Annotated[int, Field(ge=0, le=MAX_FINALISTS), AfterValidator(_none_or_several)]


def _several(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _amounts(given: Any) -> Any:
    """One text as several; a number without a unit is not an amount."""
    if isinstance(given, int | float):
        raise ValueError('an amount is a text, with its unit, such as "17ms", or "330M" of a count')
    return _several(given)


Texts = Annotated[tuple[Text, ...], BeforeValidator(_several)]
Amounts = Annotated[tuple[Text, ...], BeforeValidator(_amounts)]  # "17ms", or several of them: ["13ms", "17ms"]


def _different(devices: tuple[str, ...]) -> tuple[str, ...]:
    if not devices:
        raise ValueError("no device is named. Name one, or leave it out")
    if len(set(devices)) < len(devices):
        raise ValueError("a device is named twice. Name each once")
    return devices


Devices = Annotated[Texts, AfterValidator(_different)]  # "ssh://a", or several of them


def _names(given: Any) -> Any:
    listed = given if isinstance(given, list | tuple) else [given]
    if not all(isinstance(text, str | int | float) for text in listed):
        return given  # pydantic says what is wrong with it
    return tuple(dict.fromkeys(name.strip() for text in listed for name in str(text).split(",")))


def _text(given: Any) -> Any:
    """Refuse what an unset variable leaves behind, and what config.toml, which is UTF-8, cannot hold."""
    if not isinstance(given, str):
        return given  # pydantic says what is wrong with it
    if not given.strip():
        raise ValueError("it is empty. Give it a value, or leave it out")
    if "\0" in given:
        raise ValueError("it contains a NUL byte")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8 text. If it is a path, rename the file or folder") from None
    return given


def _hold_out(given: Any) -> Any:
    """A number of images, or a share as `10%`, or `auto`."""
    if not isinstance(given, str):
        return given  # pydantic says what is wrong with it
    text = given.strip()
    if text.isdecimal():
        return int(text)
    if text == "auto":
        return text
    try:
        share = float(text.removesuffix("%"))
    except ValueError:
        share = 0.0
    if not text.endswith("%") or not 0 < share < 100:
        raise ValueError('it must be a number of images, a share below 100 such as "10%", or "auto"')
    return f"{share:g}%"


# Images of each class, a share of each class, or "auto"
HoldOut = Annotated[Annotated[int, Field(gt=0, le=MAX_COUNT)] | str, BeforeValidator(_hold_out)]


def _sample_range(given: Any) -> Any:
    """`284M..461M` or `whole` as a tuple."""
    listed = (given,) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(text, str) for text in listed):
        return given  # pydantic says what is wrong with it
    ends = tuple(end.strip() for text in listed for end in text.split(".."))
    if ends and ends != ("whole",) and (len(ends) != 2 or not all(ends)):
        raise ValueError('it must be "whole" or two amounts, as in ["284M", "461M"] or 284M..461M')
    return ends


SampleRange = Annotated[tuple[str, ...], BeforeValidator(_sample_range)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]  # "fp16,int8", or ["fp16", "int8"]
