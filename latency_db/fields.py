"""Types of stored values with their ranges. The database (CHECK constraints), reads and imports use the same limits.

A latency may be 0: an identity that is fitted to whole networks can take no time. Everything that is measured is above
0, and no call takes `MAX_MS`.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

MAX_MS = 1e9  # 11 days per call
MAX_INTEGER = 2**31 - 1  # of a PostgreSQL integer
MAX_KEY = 20_000  # characters; the key of a whole network names a choice for every block
MAX_TEXT = 2_000

Kind = Literal["profile", "verify", "fit", "import", "estimate"]
Values = ConfigDict(extra="forbid")


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character")
    text.encode()  # UnicodeEncodeError, a ValueError, if it holds half a surrogate pair
    return text


def _timestamp(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without a time zone")
    return text


def _integer(minimum: int) -> Any:
    return Field(strict=True, ge=minimum, le=MAX_INTEGER)


def _text(most: int) -> Any:
    return Field(strict=True, max_length=most)


def first_problem(error: ValidationError) -> str:
    """The first field that failed, and why: `runs.0.kind: Input should be 'profile', ...`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    return f"{field}: {first['msg']}" if field else str(first["msg"])


Milliseconds = Annotated[float, Field(strict=True, ge=0, le=MAX_MS, allow_inf_nan=False)]
PositiveMilliseconds = Annotated[float, Field(strict=True, gt=0, le=MAX_MS, allow_inf_nan=False)]
Count = Annotated[int, _integer(0)]
PositiveCount = Annotated[int, _integer(1)]
Calls = PositiveCount
Place = Annotated[int, _integer(-1)]
Text = Annotated[str, _text(MAX_TEXT), AfterValidator(_storable)]
Name = Annotated[str, Field(strict=True, min_length=1, max_length=MAX_TEXT), AfterValidator(_storable)]
LongText = Annotated[str, _text(MAX_KEY), AfterValidator(_storable)]
Key = Annotated[str, Field(strict=True, min_length=1, max_length=MAX_KEY), AfterValidator(_storable)]
Timestamp = Annotated[str, _text(40), AfterValidator(_timestamp)]
Conditions = dict[Name, Annotated[float, Field(allow_inf_nan=False)] | Text]
