"""The precisions of the files that are exported."""

from pathlib import Path

import pytest

from toolchain.export.precisions import ExportedFile, is_built_by, precisions_of, with_forms
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


def test_tensorrt_builds_int8_engines_from_the_file_in_its_form() -> None:
    assert with_forms(("fp32", "int8"), "onnxruntime", ["tensorrt_rtx"]) == ("fp32", "int8", "int8_fp16")
    assert with_forms(("fp32", "int8"), "onnxruntime", []) == ("fp32", "int8")
    assert with_forms(("fp32", "fp16"), "onnxruntime", ["tensorrt"]) == ("fp32", "fp16")
    assert not is_built_by(ExportedFile(Path("model.int8.onnx"), "int8", "int8"), "tensorrt")
    assert is_built_by(ExportedFile(Path("model.int8.onnx"), "int8", "int8"), "fake")
    assert is_built_by(ExportedFile(Path("model.int8_fp16.onnx"), "int8_fp16", "int8"), "tensorrt")


def test_what_was_searched_on_tensorrt_ships_in_its_form() -> None:
    assert with_forms(("int8",), "tensorrt", ["tensorrt"]) == ("int8_fp16",)
    assert with_forms(("int8", "int8"), "tensorrt", []) == ("int8_fp16", "int8")
