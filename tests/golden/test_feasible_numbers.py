"""The share of the paper's space that fits a MACs budget. Source: exact dynamic programming over its 4^20
architectures (17,851 distinct values of MACs), implemented independently of this code."""

import pytest

from toolchain.costs.core import Budget, Limit
from toolchain.costs.counters import macs_cost
from toolchain.counting.feasible import FeasibleSet, whole_space
from toolchain.spaces.core import SearchSpace


@pytest.mark.parametrize(
    ("most", "share"), [(330e6, 0.589193), (320e6, 0.271053), (300e6, 0.011654), (290e6, 0.000783)]
)
def test_share_of_the_paper_space(paper_space: SearchSpace, most: float, share: float) -> None:
    fitting = FeasibleSet(paper_space, Budget((Limit(macs_cost(paper_space), most),)))
    assert fitting.exact
    assert fitting.share == pytest.approx(share, abs=5e-7)  # the digits of the source


def test_range_of_the_paper_space(paper_space: SearchSpace) -> None:
    macs = macs_cost(paper_space)
    ends = whole_space(paper_space, macs).range(macs)
    assert (ends.least, ends.greatest) == (270_359_360, 398_609_216)
    stride_2 = (0, 4, 8, 16)
    assert [ends.cheapest.choices[i] for i in stride_2] == ["choice_x"] * 4
    assert [ends.most_expensive.choices[i] for i in stride_2] == ["choice_7"] * 4


def test_extremes_of_the_joint_space() -> None:
    """Joint search of blocks and channels, 32^20: 94,962,880 to 669,217,792 MACs, a share of 0.795 within 330M.

    The source estimated this share from 200,000 draws; the tolerance is 5 of its standard errors of 0.0009.
    """
    from toolchain.spaces import load_space

    space = load_space("shufflenet_v2_joint")
    macs = macs_cost(space)
    fitting = FeasibleSet(space, Budget((Limit(macs, 330e6),)))
    assert fitting.exact
    assert fitting.share == pytest.approx(0.795, abs=5 * 0.0009 + 0.0005)
    assert fitting.range(macs).least == 94_962_880
    assert macs.greatest == 669_217_792
