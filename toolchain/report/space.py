"""The picture of a search space: the choices of every block (Figures 1, 4 and 5 of the paper)."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from toolchain.report.architecture import CHARACTER_IN, COLUMN_IN, TEXT, draw_legend, draw_stages, draw_title
from toolchain.report.colors import color_of, colors_of, look_of
from toolchain.report.figures import save
from toolchain.spaces.core import Choice, SearchSpace
from toolchain.units import format_number

ROW_IN = 0.24  # height of one choice in inches


def draw_space(space: SearchSpace, *paths: Path) -> None:
    """Draw the choices of each block as a column, to each of `paths` (.svg or .png).

    Raises:
        RunFolderError: a file cannot be written.
    """
    choices = [choice for block in space.blocks for choice in block.choices]
    rows = max(len(block.choices) for block in space.blocks)
    width = max(COLUMN_IN, CHARACTER_IN * max(len(_label(choice)) for choice in choices))
    size = (max(6.0, width * len(space.blocks) + 0.9), ROW_IN * rows + 1.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    colors = colors_of(look_of(choice) for choice in choices)
    draw_stages(axes, [(block.out_px, block.c_out) for block in space.blocks], 0.6)
    for number, block in enumerate(space.blocks):
        for row, choice in enumerate(block.choices):
            _draw_choice(axes, number, -row, choice, color_of(look_of(choice), colors))
    axes.set(xlim=(-0.7, len(space.blocks) - 0.3), ylim=(-rows + 0.4, 2.4))
    title = f"{space.name}: {len(space.blocks)} choice blocks, {format_number(space.size)} architectures"
    draw_title(axes, title)
    axes.set_axis_off()
    draw_legend(figure, colors)
    for path in paths:
        save(figure, path)


def _draw_choice(axes: Axes, x: float, y: float, choice: Choice, color: str) -> None:
    axes.add_patch(Rectangle((x - 0.45, y - 0.4), 0.06, 0.8, facecolor=color, edgecolor="none"))
    axes.text(x - 0.34, y, _label(choice), va="center", fontsize=7, color=TEXT)


def _label(choice: Choice) -> str:
    return choice.key.replace("@", " x ").replace(":", " ")
