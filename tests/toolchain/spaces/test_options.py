"""Options of the built-in spaces: their ranges, and that their order does not matter."""

import re

import pytest

from toolchain.errors import BadArchitecture, UnknownSpace
from toolchain.spaces import load_space
from toolchain.spaces.model_source import with_option


def test_the_order_of_options_does_not_matter() -> None:
    one = load_space("shufflenet_v2_quick:classes=7,size_px=17,widths=0.5-1.0")
    two = load_space("shufflenet_v2_quick: size_px=17, widths=0.5-1.0, classes=7")
    three = load_space("shufflenet_v2_quick:size_px=17,classes=7", widths="0.5-1.0")
    assert one == two == three
    assert one.name == "shufflenet_v2_quick:size_px=17,classes=7,widths=0.5-1.0"


@pytest.mark.parametrize(
    ("name", "digest"),
    [  # as of version 0.1.0: checkpoints and tables contain them
        ("shufflenet_v2", "fea28362dd6cfc87"),
        ("shufflenet_v2_quick", "6747da2795183d72"),
        ("proxyless_gpu", "842963b02f4dcac3"),
        ("fbnet", "89439b4422c134d9"),
        ("resnet18_bits", "6cc1c4c43d181ac7"),
    ],
)
def test_digests_do_not_change_between_versions(name: str, digest: str) -> None:
    assert load_space(name).digest == digest


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("resnet18_bits:widths=inf", "widths is inf; it must be above 0 and at most 16"),
        ("resnet18_bits:widths=nan", "widths is nan; it must be above 0 and at most 16"),
        ("shufflenet_v2:widths=1e300", "widths is 1e+300; it must be above 0 and at most 16"),
        ("shufflenet_v2:widths=-1", "'-1' is not a valid value for widths"),
        (
            "fbnet:classes=999999999999999999999999999999",
            "classes is 999999999999999999999999999999; it must be between 1 and 1,000,000",
        ),
        ("proxyless:size_px=0", "size_px is 0; it must be between 1 and 1,000,000"),
        ("proxyless:dropout=nan", "dropout is nan; it must be 0 or more and below 1"),
        ("proxyless:multiplier=inf", "multiplier is inf; it must be between 0.1 and 10"),
        ("fbnet:stage_repeats=1-4-4-4-4-4-1000000", "stage_repeats add up to 1,000,021 blocks; the maximum is 1,000"),
        ("shufflenet_v2:size_px=9,size_px=8", "has the option 'size_px' twice. Remove one of them"),
        ("fbnet:classes=" + "9" * 5000, "is not a valid value for classes"),
        ("shuffle\x1b[31m\udce9", r"unknown space 'shuffle\x1b[31m\udce9'. Known spaces: shufflenet_v2"),
        ("fbnet:\x1b=1", r"has no option '\x1b'"),
    ],
)
def test_invalid_options_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UnknownSpace) as caught:
        load_space(text)
    assert problem in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_very_large_option_is_refused_at_once() -> None:
    with pytest.raises(UnknownSpace, match=r"classes is 10{29}\.\.\.; it must be between 1 and 1,000,000"):
        load_space("fbnet:classes=1" + "0" * 400)


@pytest.mark.parametrize("index", ["9" * 60, "9" * 5000, "-1", "\u0664", "choice_3\x1b"])
def test_an_index_that_no_choice_has_is_refused(index: str) -> None:
    space = load_space("shufflenet_v2_quick:stage_widths=48,stage_repeats=1")
    with pytest.raises(BadArchitecture, match=re.escape("choice block 0 (16x14px->48s2) has no choice")) as caught:
        space.architecture([index])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shufflenet_v2", "shufflenet_v2:classes=10"),
        ("shufflenet_v2:classes=7,size_px=32", "shufflenet_v2:size_px=32,classes=10"),
        ("model:torchvision:resnet18", "model:torchvision:resnet18:classes=10"),
        ("model:my.py:net:size_px=32,classes=7", "model:my.py:net:size_px=32,classes=10"),
    ],
)
def test_one_option_is_set_in_the_name_of_a_space(name: str, expected: str) -> None:
    assert with_option(name, "classes", 10) == expected
