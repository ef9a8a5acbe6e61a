"""Which blocks changed, and the picture."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from PIL import Image

from toolchain.report.shrink import Network, draw_shrink
from toolchain.shrink.result import changes_of
from toolchain.spaces.core import SearchSpace


def test_only_blocks_that_differ_are_listed(tiny_space: SearchSpace) -> None:
    original = tiny_space.all_same("choice_3")  # the first choice of each block
    keys = list(original.choices)
    keys[1] = "choice_x"
    (change,) = changes_of(tiny_space, tiny_space.architecture(tuple(keys)))
    assert (change.block, change.choice) == ("block 1", "choice_x")
    assert changes_of(tiny_space, original) == ()


def test_blocks_have_the_names_of_the_model(tiny_space: SearchSpace) -> None:
    paths = SimpleNamespace(blocks=[SimpleNamespace(path=f"layer{number}") for number in range(len(tiny_space.blocks))])
    named = replace(tiny_space, builder=paths)
    changes = changes_of(named, named.all_same("choice_5"))
    assert [change.block for change in changes] == [f"layer{number}" for number in range(len(named.blocks))]


def test_the_picture(tmp_path: Path) -> None:
    networks = [Network("original", 8.0, 0.91, 0.9, 0.92), Network("shrunk", 3.9, 0.9, 0.89, 0.91)]
    for number, front in enumerate(([], [(2.0, 0.7), (3.8, 0.85)])):
        draw_shrink(networks, front, 4.0, 1, tmp_path / f"{number}.png")
    empty, full = (Image.open(tmp_path / f"{number}.png") for number in range(2))
    assert empty.size == full.size
    assert empty.tobytes() != full.tobytes(), "the front is drawn"
