"""The precisions of the files that are exported."""

import pytest

from toolchain.export.precisions import precisions_of
from toolchain.spaces import load_space

SPACE = load_space("resnet18_bits:bits=w2a2-float")
LOW_BIT, FLOAT = SPACE.all_same("basic:w2a2"), SPACE.all_same("basic")


def test_a_low_bit_network_ships_exact() -> None:
    assert precisions_of(SPACE, LOW_BIT, "fp32", ()) == ("exact",)
    assert precisions_of(SPACE, LOW_BIT, "fp32", ("int8",)) == ("exact", "int8")


@pytest.mark.parametrize("searched", ["fp32", "int8"])
def test_a_latency_limit_is_for_the_int8_container(searched: str) -> None:
    assert precisions_of(SPACE, LOW_BIT, searched, (), limited=True) == ("int8",)
    assert precisions_of(SPACE, LOW_BIT, searched, ("exact",), limited=True) == ("int8", "exact")


@pytest.mark.parametrize("searched", ["fp32", "int8"])
def test_a_float_network_of_a_low_bit_space_ships_in_float(searched: str) -> None:
    assert precisions_of(SPACE, FLOAT, searched, (), limited=True) == ("fp32",)


def test_a_float_space_ships_what_was_searched() -> None:
    space = load_space("resnet18_bits:bits=float")
    assert precisions_of(space, space.all_same("basic"), "int8", ("fp32",), limited=True) == ("int8", "fp32")
