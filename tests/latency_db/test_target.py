"""Identity and differences of targets."""

from dataclasses import fields, replace

import pytest

from latency_db.target import Target

FIELDS = [field.name for field in fields(Target)]


def changed(target: Target, name: str) -> Target:
    value = getattr(target, name)
    return replace(target, **{name: value + 1 if isinstance(value, int) else value + "x"})


def test_from_dict_inverts_as_dict(target: Target) -> None:
    assert Target.from_dict(target.as_dict()) == target
    assert Target.from_dict(target.as_dict()).id == target.id


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_changes_the_id_and_is_named(target: Target, name: str) -> None:
    other = changed(target, name)
    assert other.id != target.id
    difference = f"{name}: {getattr(target, name)} here, {getattr(other, name)} there"
    assert target.differences(other) == (difference,)


def test_id_is_a_fixed_hash(target: Target) -> None:
    assert target.id == "e2eebc92c600d902"  # stored runs refer to it, so it must not change
    assert target.differences(target) == ()


@pytest.mark.parametrize("name", FIELDS)
def test_missing_field_is_named(target: Target, name: str) -> None:
    values = target.as_dict()
    del values[name]
    with pytest.raises(TypeError, match=name):
        Target.from_dict(values)
