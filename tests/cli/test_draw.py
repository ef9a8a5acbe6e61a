"""`nastool draw`: pictures from the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# The architecture that the authors published, and its MACs (tests/cli/test_cost.py).
ARCH = "0 0 3 1 1 1 0 0 2 0 2 1 1 0 2 0 2 1 3 2"


def test_architectures_below_each_other(nastool: Callable[..., Any], tmp_path: Path) -> None:
    same = " ".join(["choice_x"] * 20)
    answer = nastool("draw", "--space", "shufflenet_v2", ARCH, same, "--json", cwd=tmp_path)
    assert answer.code == 0
    assert answer.json["files"] == ["architecture.svg", "architecture.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["architecture.png", "architecture.svg"]
    first, second = answer.json["networks"]
    assert first["total"] == 318_729_024
    assert first["title"] == "architecture: shufflenet_v2, 318.73M MACs"
    assert second["architecture"] == ["choice_x"] * 20


def test_a_space(nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("draw", "--space", "proxyless:size_px=32", "--out", "pictures/space.svg", cwd=tmp_path)
    assert answer.code == 0
    assert "proxyless" in answer.stdout
    assert (tmp_path / "pictures" / "space.svg").read_bytes().startswith(b"<?xml")
    assert not (tmp_path / "pictures" / "space.png").exists()


def test_a_file_brings_its_space(nastool: Callable[..., Any], tmp_path: Path) -> None:
    from toolchain.spaces import load_space

    space = load_space("shufflenet_v2_quick")
    content = {"architecture": [block.choices[0].key for block in space.blocks], "space": space.name}
    best = tmp_path / "best.json"
    best.write_text(json.dumps({**content, "space_digest": space.digest}))
    answer = nastool("draw", "best.json", "--json", cwd=tmp_path)
    assert answer.code == 0
    assert answer.json["networks"][0]["space"] == "shufflenet_v2_quick"
    best.write_text(json.dumps({**content, "space_digest": "0" * 16}))
    answer = nastool("draw", "best.json", cwd=tmp_path)
    assert answer.code == 2
    assert "best.json is of another space shufflenet_v2_quick. Give its --space" in answer.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--space", "proxyless", "--out", "a.gif"), "pictures are written as .svg or .png"),
        (("--space", "shufflenet_v2", "0 0 3"), "shufflenet_v2 has 20 choice blocks, but 3 choices were given"),
        (("none.json",), "cannot read none.json: No such file or directory. Give a search's best.json"),
        (("none.json", "--budget", "macs_1M"), "--budget names the winner of a run"),
        ((), "Run nastool search"),
    ],
)
def test_mistakes_are_named(words: tuple[str, ...], message: str, nastool: Callable[..., Any], tmp_path: Path) -> None:
    answer = nastool("draw", *words, cwd=tmp_path)
    assert answer.code == 2
    assert message in " ".join(answer.stderr.split())
    assert list(tmp_path.iterdir()) == []
