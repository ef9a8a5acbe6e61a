"""The precision in which networks of a space are timed."""

import pytest

from toolchain.config import ProfileConfig
from toolchain.errors import BadConfig
from toolchain.measuring.space_precision import file_precision, for_space
from toolchain.spaces import load_space

BITS = load_space("resnet18_bits:bits=w2a2-float")
FLOAT = load_space("resnet18_bits:bits=float")


def test_low_bit_spaces_are_timed_in_int8() -> None:
    assert for_space(ProfileConfig(), BITS).precision == "int8"
    assert for_space(ProfileConfig(precision="fp16"), FLOAT).precision == "fp16"


@pytest.mark.parametrize("changes", [{"estimate": True}, {"backend": "regression"}])
def test_what_compiles_no_file_keeps_its_precision(changes: dict[str, object]) -> None:
    assert for_space(ProfileConfig.model_validate(changes), BITS).precision == "fp32"


def test_low_bit_spaces_are_not_timed_in_fp16() -> None:
    with pytest.raises(BadConfig, match="are timed in int8 containers, not in fp16"):
        for_space(ProfileConfig(precision="fp16"), BITS)


def test_a_float_network_of_a_low_bit_space_has_a_float_file() -> None:
    assert file_precision(BITS, BITS.all_same("basic"), "int8") == "fp32"
    assert file_precision(BITS, BITS.all_same("basic:w2a2"), "int8") == "int8"
    assert file_precision(FLOAT, FLOAT.all_same("basic"), "int8") == "int8"
