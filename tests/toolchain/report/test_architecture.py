"""Pictures of architectures: blocks with their widths, bits and shares, for every family of spaces."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.text import Text
from PIL import Image

from toolchain.costs.core import TableCost
from toolchain.costs.counters import default_cost, macs_cost
from toolchain.nets.checked_space import load_checked_space
from toolchain.report.architecture import architecture_figure, draw_architectures
from toolchain.report.blocks import NetworkParts, network_parts
from toolchain.report.colors import Look, color_of, colors_of
from toolchain.report.space import draw_space
from toolchain.spaces.core import SearchSpace

# The architecture that the authors published, and its MACs (tests/cli/test_cost.py).
PUBLISHED = "0 0 3 1 1 1 0 0 2 0 2 1 1 0 2 0 2 1 3 2"
SPACES = (
    "shufflenet_v2_quick",
    "shufflenet_v2_channels:size_px=32",
    "proxyless:size_px=32",
    "fbnet:size_px=32",
    "resnet18_bits:size_px=32",
    "model:torchvision:resnet18:size_px=32",
)


def parts_of(text: str, index: int = 0) -> NetworkParts:
    space = load_checked_space(text)
    last = space.architecture([block.choices[index].key for block in space.blocks])
    return network_parts(space, last, default_cost(space), "first choices")


def texts(svg: Path) -> list[str]:
    root = ElementTree.parse(svg).getroot()
    return [text for element in root.iter() if element.tag.endswith("text") and (text := "".join(element.itertext()))]


def test_shares_are_those_of_the_cost() -> None:
    space = load_checked_space("shufflenet_v2")
    parts = network_parts(space, space.architecture(PUBLISHED), macs_cost(space), "published")
    assert parts.total == 318_729_024
    assert (parts.cost, parts.unit) == ("macs", "MACs")
    assert parts.fixed + sum(block.cost for block in parts.blocks) == 318_729_024
    assert parts.fixed_share + sum(block.share for block in parts.blocks) == pytest.approx(1)
    first = parts.blocks[0]
    assert (first.geometry, first.out_px, first.out_channels, first.choice) == ("16x112px->64s2", 56, 64, "choice_3")
    assert {block.height for block in parts.blocks} == {1.0}, "this space has one width"


def test_a_long_title_stays_inside_the_picture() -> None:
    space = load_checked_space("shufflenet_v2_quick:stage_widths=64-128,stage_repeats=2-2,widths=0.5-1.5")
    arch, title = space.all_same("choice_3@0.5"), f"winner of quickstart: {space.name}, 959.57k MACs"
    figure = architecture_figure([network_parts(space, arch, macs_cost(space), title)])
    figure.draw_without_rendering()
    shown = figure.axes[0].get_title(loc="left")
    assert shown.replace("\n", "") == title
    (drawn,) = (text for text in figure.axes[0].findobj(Text) if text.get_text() == shown)
    box = drawn.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_a_cost_of_zero_has_no_shares() -> None:
    space = load_checked_space("shufflenet_v2_quick")
    rows = tuple({choice.key: 0.0 for choice in block.choices} for block in space.blocks)
    arch = space.architecture([0] * len(space.blocks))
    parts = network_parts(space, arch, TableCost("bitops", "BitOps", 0.0, rows), "free")
    assert [parts.fixed_share, *(block.share for block in parts.blocks)] == [0.0] * (1 + len(space.blocks))


@pytest.mark.parametrize(
    ("space", "choices", "heights"),
    [
        ("resnet18_bits:size_px=32,stage_widths=16,stage_repeats=2", "basic@0.5:w1a2 basic@1.5:w4a4", [1 / 3, 1.0]),
        ("proxyless:size_px=32,stage_widths=16,stage_repeats=3,stage_strides=1", "k3e3 k5e6 skip", [0.5, 1.0, 0.0]),
    ],
)
def test_heights_are_widths_inside(space: str, choices: str, heights: list[float]) -> None:
    loaded = load_checked_space(space)
    parts = network_parts(loaded, loaded.architecture(choices), default_cost(loaded), "")
    assert [block.height for block in parts.blocks] == pytest.approx(heights)


@pytest.mark.long
@pytest.mark.parametrize("text", SPACES)
def test_every_family_is_drawn(text: str, tmp_path: Path) -> None:
    network = parts_of(text)
    draw_architectures([network], tmp_path / "one.svg")
    written = texts(tmp_path / "one.svg")
    for block in network.blocks:
        assert block.op in written
        assert f"{block.share:.1%}" in written
        assert f"{block.out_px} px" in written


def test_several_below_each_other(tmp_path: Path) -> None:
    networks = [parts_of("shufflenet_v2_quick"), parts_of("shufflenet_v2_quick", -1)]
    svg, png = tmp_path / "two.svg", tmp_path / "two.png"
    draw_architectures(networks, svg, png)
    assert texts(svg).count("share of MACs") == texts(svg).count("first choices") == 2
    with Image.open(png) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(image.width * image.height) or ()) > 20


def test_the_same_picture_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first.svg", "second.svg"):
        draw_architectures([parts_of("shufflenet_v2_quick")], tmp_path / name)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


def test_colors_are_ops_or_bits() -> None:
    ops = colors_of([Look("k5e6"), Look("k3e3"), Look("skip")])
    assert list(ops) == ["k3e3", "k5e6"], "skip has the gray of what is fixed"
    assert color_of(Look("skip"), ops) == "#8c8c8c"
    bits = colors_of([Look("basic", 4, 4), Look("basic", 1, 2), Look("basic", 2, 2), Look("basic")])
    assert list(bits) == ["w1a2", "w2a2", "w4a4", "float32"], "from few bits to many"
    assert color_of(Look("basic", 2, 2), bits) == bits["w2a2"]
    assert len(set(bits.values())) == 4


@pytest.mark.parametrize("text", SPACES)
def test_a_space_shows_each_choice(text: str, tmp_path: Path) -> None:
    space: SearchSpace = load_checked_space(text)
    draw_space(space, tmp_path / "space.svg")
    written = texts(tmp_path / "space.svg")
    assert any(f"{len(space.blocks)} choice blocks" in text for text in written)
    labels = [choice.key.replace("@", " x ").replace(":", " ") for block in space.blocks for choice in block.choices]
    for label in set(labels):
        assert written.count(label) >= labels.count(label)
