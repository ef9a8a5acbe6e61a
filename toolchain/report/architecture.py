"""Pictures of architectures, as in the paper's appendix.

Blocks are in order, grouped by the size of their output maps. The height of a box is the width inside the block; its
color is the op, or the bit widths where the space has them. Bars below are the shares of a cost.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from toolchain.report.blocks import BlockPart, NetworkParts
from toolchain.report.colors import FIXED, color_of, colors_of
from toolchain.report.figures import save
from toolchain.spaces.mbconv import SKIP

TEXT = "#555b61"
COST_NAMES = {"latency_ms": "predicted latency", "macs": "MACs", "bitops": "BitOps", "params": "parameters"}
COLUMN_IN = 0.62  # width of a block in inches
CHARACTER_IN = 0.062  # of a label: a block with a longer one is wider
TITLE_CHARACTER_IN = 0.092
ROW_IN = 3.1  # height of one architecture in inches
MIN_HEIGHT = 0.08  # of a box, where the highest is 1


def draw_architectures(networks: Sequence[NetworkParts], *paths: Path) -> None:
    """Draw architectures below each other, to each of `paths` (.svg or .png).

    Raises:
        RunFolderError: a file cannot be written.
    """
    figure = architecture_figure(networks)
    for path in paths:
        save(figure, path)


def architecture_figure(networks: Sequence[NetworkParts]) -> Figure:
    """The figure of `draw_architectures`."""
    blocks = [block for network in networks for block in network.blocks]
    columns = max(len(network.blocks) for network in networks) + 1
    colors = colors_of(block.look for block in blocks)
    most = max(*(network.fixed_share for network in networks), *(block.share for block in blocks))
    width = max(COLUMN_IN, CHARACTER_IN * max(len(block.op) for block in blocks))
    figure = Figure(figsize=(max(6.0, width * columns + 0.9), ROW_IN * len(networks) + 0.4), layout="constrained")
    axes = figure.subplots(2 * len(networks), 1, squeeze=False, height_ratios=[1.9, 1] * len(networks))[:, 0]
    for network, boxes, shares in zip(networks, axes[::2], axes[1::2], strict=True):
        _draw_boxes(boxes, network, colors)
        _draw_shares(shares, network, colors, columns - 1, most)
    for panel in axes:
        panel.set_xlim(-0.7, columns - 0.4)
        panel.set_axis_off()
    draw_legend(figure, {**colors, "stem and head": FIXED})
    return figure


def draw_legend(figure: Figure, colors: Mapping[str, str]) -> None:
    """The meaning of the colors, below the picture."""
    handles = [Patch(facecolor=color, label=label) for label, color in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=8, frameon=False, labelcolor=TEXT)


def draw_title(axes: Axes, title: str) -> None:
    """Write a title in as many lines as it needs; the name of a space can be broken after its commas."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    most = int(figure.get_figwidth() / TITLE_CHARACTER_IN)
    lines = [""]
    for word in re.split(r"(?<=[ ,])", title):
        if lines[-1] and len(lines[-1] + word) > most:
            lines.append("")
        lines[-1] += word
    axes.set_title("\n".join(lines), fontsize=10, loc="left", color=TEXT)


def draw_stages(axes: Axes, maps: Sequence[tuple[int, int]], y: float) -> None:
    """Size and channels of the output maps above `y`, once for consecutive blocks with the same.

    Args:
        maps: (size in px, channels) of each block, which are drawn at x = 0, 1, ...
    """
    for (size_px, channels), group in groupby(enumerate(maps), key=itemgetter(1)):
        numbers = [number for number, _ in group]
        middle = (numbers[0] + numbers[-1]) / 2
        text = f"{size_px} px\n{channels} ch"
        axes.annotate(text, (middle, y), (0, 4), textcoords="offset points", ha="center", fontsize=7.5, color=TEXT)
        axes.plot([numbers[0] - 0.42, numbers[-1] + 0.42], [y, y], color=FIXED, linewidth=1)


def _draw_boxes(axes: Axes, network: NetworkParts, colors: Mapping[str, str]) -> None:
    draw_stages(axes, [(block.out_px, block.out_channels) for block in network.blocks], 1.13)
    for number, block in enumerate(network.blocks):
        if block.op == SKIP:
            axes.plot([number - 0.4, number + 0.4], [0.5, 0.5], color=FIXED, linestyle=":", linewidth=2)
        else:
            height = max(MIN_HEIGHT, block.height)
            corner, style = (number - 0.36, 0.5 - height / 2), "round,pad=0,rounding_size=0.06"
            color = color_of(block.look, colors)
            axes.add_patch(FancyBboxPatch(corner, 0.72, height, boxstyle=style, facecolor=color, edgecolor="none"))
        axes.text(number, -0.08, _label(block), ha="center", va="top", fontsize=7.5, color=TEXT)
    axes.set_ylim(-0.45, 1.65)
    draw_title(axes, network.title)


def _label(block: BlockPart) -> str:
    """Op and width in two lines."""
    return block.op if block.width == 1 or block.op == SKIP else f"{block.op}\nx {block.width:g}"


def _draw_shares(axes: Axes, network: NetworkParts, colors: Mapping[str, str], last: int, most: float) -> None:
    """A bar for each block, and one for stem and head at x = `last`; `most` is the greatest share in the picture."""
    numbers = [*range(len(network.blocks)), last]
    shares = [*(block.share for block in network.blocks), network.fixed_share]
    shown = [*(color_of(block.look, colors) for block in network.blocks), FIXED]
    axes.bar(numbers, shares, width=0.72, color=shown)
    for number, share in zip(numbers, shares, strict=True):
        axes.text(number, share + 0.03 * most, f"{share:.1%}", ha="center", va="bottom", fontsize=7, color=TEXT)
    axes.text(last, -0.06 * most, "stem, head", ha="center", va="top", fontsize=7.5, color=TEXT)
    what = f"share of {COST_NAMES.get(network.cost, network.cost)}"
    axes.text(-0.6, 1.6 * most, what, fontsize=7.5, va="top", color=TEXT)
    axes.set_ylim(-0.2 * most, 1.6 * most)
