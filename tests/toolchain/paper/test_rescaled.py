"""Uniform networks that are rescaled to a limit on MACs: the scale is the greatest that fits."""

from itertools import pairwise

import pytest

from toolchain.costs.counters import macs_cost
from toolchain.errors import BadConfig
from toolchain.paper.rescaled import breakpoints, rescaled, scaled_widths
from toolchain.spaces import load_space

TINY = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"


@pytest.mark.long  # counts networks of the paper's size at eleven scales each
@pytest.mark.parametrize(
    ("op", "scale"), [("choice_3", 1.05), ("choice_5", 1.02), ("choice_7", 0.98), ("choice_x", 0.95)]
)
def test_scales_for_the_limit_of_the_paper(op: str, scale: float) -> None:
    """Paper Sec. 4: 330M; the scales that bring each uniform network nearest to it are about these.

    Its own networks have 321M to 327M (Table 3). A step of the scale is up to 1 % of the MACs.
    """
    network = rescaled("shufflenet_v2", op, 330e6)
    assert network.scale == pytest.approx(scale, abs=0.011)
    assert 326e6 < network.macs <= 330e6
    assert set(network.architecture.choices) == {op}


@pytest.mark.parametrize("limit", [30_000, 41_000, 77_777])
def test_the_next_scale_is_over_the_limit(limit: int) -> None:
    network = rescaled(TINY, "choice_5", limit)
    scales = breakpoints((16, 24))
    following = scales[scales.index(network.scale) + 1]
    widths = "-".join(map(str, scaled_widths((16, 24), following)))
    space = load_space(TINY.replace("stage_widths=16-24", f"stage_widths={widths}") + ",ops=choice_5")
    assert network.macs <= limit < macs_cost(space).cost(space.all_same("choice_5"))


def test_widths_change_only_at_breakpoints() -> None:
    """Of every thousandth scale, those between two breakpoints give the same widths."""
    scales = breakpoints((16, 24))
    for first, second in pairwise(scales):
        inside = {scaled_widths((16, 24), first + share * (second - first)) for share in (0.0, 0.001, 0.5, 0.999)}
        assert len(inside) == 1
        assert scaled_widths((16, 24), second) not in inside
        assert all(width % 2 == 0 for width in scaled_widths((16, 24), first))


def test_widths_of_the_space_give_way_to_the_op() -> None:
    network = rescaled(f"{TINY},widths=0.5-1.0,round_to=1", "choice_3", 40_000)
    assert network.architecture.choices == ("choice_3",) * 4


def test_impossible_limit_and_another_family() -> None:
    with pytest.raises(BadConfig, match=r"all choice_3 has more than 10 MACs at every scale. Give a larger --macs"):
        rescaled(TINY, "choice_3", 10)
    with pytest.raises(BadConfig, match=r"spaces of shufflenet_v2, and proxyless is another one. Give --space"):
        rescaled("proxyless", "k3e3", 330e6)
