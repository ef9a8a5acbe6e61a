"""Exports of version 1, whose targets are called contexts: conversion to version 2."""

import hashlib
import json
from typing import Any

RUN_KEYS = {"context_id": "target_id"}
TARGET_KEYS = {"precision_found": "compute_precision"}
SAMPLE_KEYS = {"disturbed": "noise_reason", "reference_ms": "anchor_ms"}
PLACE_UNKNOWN = -1  # version 1 began without places

Json = dict[str, Any]  # an object as json.loads returns it; the converted content is validated as version 2


def to_version_2(content: Json) -> Json:
    """The same content with the keys of version 2; values are not checked.

    Raises:
        ValueError: the content does not have the structure of version 1.
    """
    try:
        ids = {old: _target_id(old, values) for old, values in content["contexts"].items()}
        targets = {ids[old]: _renamed(values, TARGET_KEYS) for old, values in content["contexts"].items()}
        runs = [_run(values, ids) for values in content["runs"]]
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"{type(problem).__name__}: {problem}") from None
    others = {key: value for key, value in content.items() if key not in ("contexts", "runs")}
    return others | {"version": 2, "targets": targets, "runs": runs}


def _target_id(old: str, values: Json) -> str:
    """The id is a hash over the fields, whose names have changed."""
    if _hash(values) != old:
        raise ValueError(f"the fields of context {old} do not match its id")
    return _hash(_renamed(values, TARGET_KEYS))


def _hash(values: Json) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _run(values: Json, ids: dict[str, str]) -> Json:
    run = _renamed(values, RUN_KEYS)
    records = [_record(record) for record in run.pop("parts")]
    return {"run": run | {"id": 0, "target_id": ids[run["target_id"]]}, "records": records}


def _record(values: Json) -> Json:
    return values | {"samples": [_timed_sample(sample) for sample in values["samples"]]}


def _timed_sample(values: Json) -> Json:
    sample: Json = {"place": PLACE_UNKNOWN} | _renamed(values, SAMPLE_KEYS)
    if sample.get("anchor_ms") == 0:  # version 1 wrote an unknown time as 0
        sample["anchor_ms"] = None
    return {"round": sample.pop("round"), "taken_at": sample.pop("taken_at"), "sample": sample}


def _renamed(values: Json, names: dict[str, str]) -> Json:
    return {names.get(key, key): value for key, value in values.items()}
