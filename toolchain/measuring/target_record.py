"""A `Target` as a field of a JSON document."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from latency_db.target import Target

RENAMED = {"precision_found": "compute_precision"}  # since nastool 0.1.0


def _target_of(given: Any) -> Target:
    if isinstance(given, Target):
        return given
    if not isinstance(given, Mapping):
        raise ValueError("it must be an object")
    values = {RENAMED.get(key, key): value for key, value in given.items()}
    for field in fields(Target):
        if type(values.get(field.name)) is not field.type:
            raise ValueError(f"its field {field.name} must be {'a whole number' if field.type is int else 'a text'}")
    return Target(**{field.name: values[field.name] for field in fields(Target)})


TargetRecord = Annotated[Target, PlainValidator(_target_of), PlainSerializer(Target.as_dict)]
