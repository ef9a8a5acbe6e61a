"""A `Target` as a field of a JSON document."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from latency_db.fields import first_problem
from latency_db.target import Target

RENAMED = {"precision_found": "compute_precision"}  # since nastool 0.1.0
ADAPTER = TypeAdapter(Target)


def _target_of(given: Any) -> Target:
    if isinstance(given, Target):
        return given
    if not isinstance(given, Mapping):
        raise ValueError("it must be an object")
    try:
        return ADAPTER.validate_python({RENAMED.get(key, key): value for key, value in given.items()})
    except ValidationError as problem:
        raise ValueError(first_problem(problem)) from None


TargetRecord = Annotated[Target, PlainValidator(_target_of), PlainSerializer(Target.as_dict)]
