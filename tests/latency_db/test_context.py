"""The identity of a stack."""

from dataclasses import fields, replace

import pytest

from latency_db.context import Context

FIELDS = [field.name for field in fields(Context)]


def changed(context: Context, name: str) -> Context:
    value = getattr(context, name)
    return replace(context, **{name: value + 1 if isinstance(value, int) else value + "x"})


def test_reads_back_from_its_values(context: Context) -> None:
    assert Context.from_dict(context.as_dict()) == context
    assert Context.from_dict(context.as_dict()).id == context.id


@pytest.mark.parametrize("name", FIELDS)
def test_any_field_makes_another_stack_and_is_named(context: Context, name: str) -> None:
    other = changed(context, name)
    assert other.id != context.id
    difference = f"{name}: {getattr(context, name)} here, {getattr(other, name)} there"
    assert context.differences(other) == (difference,)


def test_the_id_is_the_same_in_every_process(context: Context) -> None:
    assert context.id == "ca6a86fd1b74a94f"  # as first recorded: stored rows are found by it, so it must not change
    assert context.differences(context) == ()


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_field_is_named(context: Context, name: str) -> None:
    values = context.as_dict()
    del values[name]
    with pytest.raises(TypeError, match=name):
        Context.from_dict(values)
