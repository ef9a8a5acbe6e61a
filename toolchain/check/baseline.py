"""What a file is compared with: an earlier answer of `nastool check --json`, or another build."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from latency_db.context import Context
from latency_db.errors import ContextMismatch
from toolchain.check.judge import Stored
from toolchain.errors import BadConfig

SCHEMA_VERSION = 1  # of the answer of `nastool check --json`


@dataclass(frozen=True)
class Baseline:
    """One of two things: another file to be timed side by side, or the rounds of an earlier measurement."""

    name: str
    build: Path | None = None
    stored: Stored | None = None


def read_baseline(path: Path, context: Context) -> Baseline:
    """The baseline in a file; what is no JSON is taken for another build.

    Raises:
        BadConfig: the file is not there or is no baseline.
        ContextMismatch: it was measured on another stack than `context`; the fields are named.
    """
    if path.suffix != ".json":
        if not path.exists():
            raise BadConfig(f"the baseline {path} is not there. Name an answer of nastool check --json or an ONNX file")
        return Baseline(str(path), build=path)
    rewrite = f"nastool check --latency ... --json > {path}"
    try:
        content = json.loads(path.read_text())
        earlier, stored = _earlier(content)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BadConfig(
            f"{path} is no baseline ({type(problem).__name__}: {problem}). Write one with {rewrite}"
        ) from None
    if differences := context.differences(earlier):
        raise ContextMismatch(
            f"the baseline {path} was measured on another stack: {'; '.join(differences)}. "
            f"Measure a baseline on this one with {rewrite}"
        )
    return Baseline(str(path), stored=stored)


def _earlier(content: Mapping[str, Any]) -> tuple[Context, Stored]:
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is {version!r}, and {SCHEMA_VERSION} is known here")
    rounds = [(_ms(ms), None if reference is None else _ms(reference)) for ms, reference in content["rounds_ms"]]
    if not rounds:
        raise ValueError("it has no rounds")
    return Context.from_dict(content["context"]), rounds


def _ms(value: Any) -> float:
    if not (isinstance(value, int | float) and isfinite(value) and value > 0):
        raise ValueError(f"{value!r} ms is no latency")
    return float(value)
