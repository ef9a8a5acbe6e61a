"""Costs of the spaces of channel search (paper Sec. 4 and Table 4). The extremes of these spaces are not published;
they were computed with a separate closed formula."""

import pytest

from toolchain.costs.counters import macs_cost, params_cost
from toolchain.nets.published import published
from toolchain.spaces import load_space
from toolchain.spaces.core import Choice
from toolchain.spaces.shufflenet_v2 import WIDTHS


@pytest.mark.parametrize(
    ("base", "mids"),
    [
        (32, [6, 12, 19, 25, 32, 38, 44, 51]),  # rounding would give 13, 26 and 45, and 328.654M for Table 4's 328M
        (80, list(range(16, 129, 16))),
        (160, list(range(32, 257, 32))),
        (320, list(range(64, 513, 64))),
    ],
)
def test_widths_are_truncated_to_whole_channels(base: int, mids: list[int]) -> None:
    assert [Choice("choice_3", width).mid(base) for width in WIDTHS] == mids


@pytest.mark.parametrize(
    ("width", "macs", "params"), [("@0.2", 101_887_168, 2_092_920), ("@1.6", 440_775_872, 3_951_196)]
)
def test_channel_search_on_choice_3(width: str, macs: int, params: int) -> None:
    space = load_space("shufflenet_v2_channels")
    assert space.size == 8**20
    arch = space.all_same(f"choice_3{width}")
    assert (macs_cost(space).cost(arch), params_cost(space).cost(arch)) == (macs, params)
    assert macs in (macs_cost(space).least, macs_cost(space).greatest)


def test_channel_search_on_the_paper_block_search_result() -> None:
    space = load_space("shufflenet_v2", fixed_ops=published("spos_blocks").architecture)
    macs = macs_cost(space)
    assert space.size == 8**20
    assert (macs.least, macs.greatest) == (108_083_904, 482_977_024)


def test_joint_search_of_blocks_and_channels() -> None:
    space = load_space("shufflenet_v2_joint")
    macs = macs_cost(space)
    assert space.size == 32**20
    assert (macs.least, macs.greatest) == (94_962_880, 669_217_792)
