"""Widths whose mid channels are rounded to a multiple of the SIMD block."""

import pytest

from toolchain.costs.latency import block_key
from toolchain.errors import UnknownSpace
from toolchain.spaces import load_space
from toolchain.spaces.core import Choice, rounded


def mids(text: str) -> list[list[int]]:
    """The mid channels of each distinct block of a space of one op."""
    space = load_space(f"{text},stage_repeats=1-1,ops=choice_3")
    return [[choice.mid(block.c_out // 2) for choice in block.choices] for block in space.blocks]


@pytest.mark.parametrize(
    ("channels", "multiple", "result"),
    [(12, 8, 16), (36, 8, 40), (11.9, 8, 16), (44.9, 8, 48), (43, 8, 40), (3, 8, 8), (20, 16, 32), (23, 4, 24)],
)
def test_the_nearest_multiple_that_is_at_most_ten_percent_below(channels: float, multiple: int, result: int) -> None:
    assert rounded(channels, multiple) == result


def test_quick_rounds_to_multiples_of_eight_and_the_paper_truncates() -> None:
    assert mids("shufflenet_v2_quick:widths=0.5-1.0-1.5") == [[16, 24, 40], [24, 48, 72]]
    assert mids("shufflenet_v2_quick:widths=0.5-1.0-1.5,round_to=1") == [[12, 24, 36], [24, 48, 72]]
    assert mids("shufflenet_v2_quick:widths=0.5-1.0-1.5,round_to=4") == [[12, 24, 36], [24, 48, 72]]
    assert mids("shufflenet_v2:stage_widths=48-96,widths=0.5-1.0-1.5") == [[12, 24, 36], [24, 48, 72]]
    assert mids("shufflenet_v2_joint:stage_widths=48-96,widths=0.4-1.2") == [[9, 28], [19, 57]]


def test_the_default_width_is_never_rounded() -> None:
    assert mids("shufflenet_v2_quick:stage_widths=22-30,widths=0.5-1.0-1.6") == [[8, 11, 16], [8, 15, 24]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "shufflenet_v2_quick:widths=0.4-0.6-1.0",
            "widths 0.4 and 0.6 both give 16 mid channels in a block whose default is 24 (round_to=8). "
            "Omit one of them, or set round_to=1 for the paper's truncation",
        ),
        (
            "shufflenet_v2_quick:stage_widths=40-80,widths=1.0-0.95",
            "widths 0.95 and 1 give 24 and 20 mid channels in a block whose default is 20 (round_to=8)",
        ),
        ("resnet18_bits:widths=0.5-0.51,round_to=16", "widths 0.5 and 0.51 both give 32 mid channels"),
        ("shufflenet_v2_quick:round_to=0", "round_to is 0; it must be between 1 and 1,000,000"),
        ("fbnet:round_to=8", "has no option 'round_to'"),
    ],
)
def test_widths_that_coincide_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UnknownSpace) as caught:
        load_space(text)
    assert problem in str(caught.value)


def test_digests_change_only_where_channels_do() -> None:
    """Digests of version 0.1.0."""
    unchanged = load_space("shufflenet_v2_quick:stage_widths=64-128,widths=0.5-1.0-1.5")
    assert unchanged.digest == "269d394ff8f1e4f7"
    truncated = load_space("shufflenet_v2_quick:widths=0.5-1.0-1.5,round_to=1")
    assert truncated.digest == "ee0cbd36a4b0ad4b"
    assert load_space("shufflenet_v2_quick:widths=0.5-1.0-1.5").digest == "faeb189d95cbd446"


def test_rounded_choices_have_their_own_latency_records() -> None:
    """They share the records of truncated ones only where the channels are the same."""
    space = load_space("shufflenet_v2_quick:stage_repeats=1-1,ops=choice_3,widths=0.5-1.0")
    keys = [block_key(space, block, choice) for block in space.blocks for choice in block.choices]
    assert keys == [
        "shufflenet_v2/choice_3@0.5/8:16x14px->48s2",
        "shufflenet_v2/choice_3:16x14px->48s2",
        "shufflenet_v2/choice_3@0.5:48x7px->96s2",
        "shufflenet_v2/choice_3:48x7px->96s2",
    ]


def test_fixed_ops_choose_among_widths_that_differ() -> None:
    space = load_space("shufflenet_v2_quick", fixed_ops=" ".join(["choice_5"] * 8))
    assert list(space.blocks[0].by_key) == ["choice_5@0.5", "choice_5", "choice_5@1.5"]
    paper = load_space("shufflenet_v2_quick:round_to=1", fixed_ops=" ".join(["choice_5"] * 8))
    assert len(paper.blocks[0].choices) == 8
    own = load_space("shufflenet_v2_quick:widths=0.5-1.0", fixed_ops=" ".join(["choice_5"] * 8))
    assert list(own.blocks[0].by_key) == ["choice_5@0.5", "choice_5"]


def test_a_space_file_rounds_where_its_choices_say_so() -> None:
    assert [Choice("conv3", 0.4, round_to=multiple).mid(32) for multiple in (1, 4, 8)] == [12, 12, 16]


def test_a_width_may_be_written_with_other_digits() -> None:
    space = load_space("shufflenet_v2_quick:stage_widths=64,stage_repeats=3,widths=0.5-1-2")
    typed = space.architecture("choice_3@1.0 choice_5@2.0 choice_7@0.50")
    assert typed.choices == ("choice_3", "choice_5@2", "choice_7@0.5")
