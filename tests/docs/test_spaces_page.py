"""docs/spaces.md lists all spaces and published networks, and its example of a custom space works."""

import json
import re
import shlex
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from cli.main import commands
from toolchain.costs.counters import macs_cost, params_cost
from toolchain.errors import UnknownSpace
from toolchain.nets.network import builder_of
from toolchain.nets.published import PUBLISHED, Published
from toolchain.spaces import PRESETS, load_space
from toolchain.units import format_count

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "my_space.py"
PAGE = (ROOT / "docs" / "spaces.md").read_text()
CELLS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
COMMANDS = re.findall(r"^\$ nastool (cost .*)$", PAGE, re.MULTILINE)


@pytest.mark.long
@pytest.mark.parametrize("name", PRESETS)
def test_the_table_has_every_space_with_its_size(name: str) -> None:
    row = next((cells for cells in CELLS if cells[0] == f"`{name}`"), None)
    assert row is not None, f"add a row for {name} to docs/spaces.md"
    space = load_space(name)
    macs = macs_cost(space)
    formula = row[3].split("=")[0].replace("^", "**")
    assert eval(formula) == space.size
    assert int(row[1]) == len(space.blocks)
    assert row[4] == f"{macs.least / 1e6:.1f}M to {macs.greatest / 1e6:.1f}M"


@pytest.mark.long
@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
def test_the_table_has_every_published_network(published: Published) -> None:
    space = load_space(published.space)
    arch = space.architecture(published.architecture)
    latency = f"{published.titan_xp_batch32_ms} ms" if published.titan_xp_batch32_ms else ""
    assert [
        f"`{published.name}`",
        f"`{published.space}`",
        f"{macs_cost(space).cost(arch) / 1e6:.1f}M",
        f"{published.macs_m}M",
        format_count(params_cost(space).cost(arch)),
        latency,
        f"{published.top1_percent}",
    ] in CELLS


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_the_page_work(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(commands, shlex.split(command))
    assert result.exit_code == 0, result.output


def test_the_options_are_those_of_the_spaces() -> None:
    listed = set(re.findall(r"`(\w+)`", " ".join(cells[0] for cells in CELLS if cells[0].startswith("`"))))
    options = {name for _, numbers in PRESETS.values() for name in vars(numbers)}
    assert options <= listed


def test_example_has_the_counted_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no latency table in this folder
    arch = "conv3 conv5@0.5 conv3@1.5 conv3"
    result = CliRunner().invoke(commands, ["cost", "--space", f"{EXAMPLE}:my_space", "--arch", arch, "--json"])
    assert result.exit_code == 0, result.output
    cost = json.loads(result.stdout)
    stem_and_head = 28 * 28 * 9 * 16 + 64 * 10
    blocks = [
        14 * 14 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32),
        14 * 14 * (25 * 32 * 16 + 25 * 16 * 32),
        7 * 7 * (9 * 32 * 96 + 9 * 96 * 64 + 32 * 64),
        7 * 7 * (9 * 64 * 64 + 9 * 64 * 64),
    ]
    assert [block["macs"] for block in cost["blocks"]] == blocks
    assert cost["macs"] == stem_and_head + sum(blocks)
    assert cost["latency_ms"] is None


def test_file_without_builders_uses_the_blocks_of_a_known_family(tmp_path: Path) -> None:
    """Each block has its own choices."""
    file = tmp_path / "mixed.py"
    file.write_text(
        "from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem\n"
        "first = ChoiceBlock(8, 16, 16, 2, (Choice('k3e3'), Choice('k3e9')))\n"
        "second = ChoiceBlock(16, 16, 8, 1, (Choice('k5e3'), Choice('skip')))\n"
        "mixed = SearchSpace('mixed', 'fbnet', 3, 32, 10, Stem(8, 2), (first, second), Head(32))\n"
    )
    space = load_space(f"{file}:mixed")
    row = macs_cost(space).rows[0]
    assert row == {"k3e3": 16**2 * 8 * 24 + 64 * 24 * (9 + 16), "k3e9": 16**2 * 8 * 72 + 64 * 72 * (9 + 16)}


@pytest.mark.parametrize("choice", ["'k3e3', 0.5", "'k4'", "'k3e3', w_bits=4, a_bits=4"])
def test_unknown_choice_of_a_family_is_named(choice: str, tmp_path: Path) -> None:
    file = tmp_path / "mixed.py"
    file.write_text(
        "from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem\n"
        f"block = ChoiceBlock(8, 16, 16, 2, (Choice({choice}),))\n"
        "mixed = SearchSpace('mixed', 'fbnet', 3, 32, 10, Stem(8, 2), (block,), Head(32))\n"
    )
    with pytest.raises(UnknownSpace, match=r"no choice 'k.*Write k5e3 \(kernel, expansion\)"):
        macs_cost(load_space(f"{file}:mixed"))


def test_family_without_modules_is_named(tmp_path: Path) -> None:
    file = tmp_path / "orphan.py"
    file.write_text(f"{EXAMPLE.read_text().split('def build_stem')[0]}")
    space = load_space(f"{file}:my_space")
    with pytest.raises(UnknownSpace, match=r"family 'my_residual', which has no modules.*define build_stem"):
        builder_of(space)


def test_file_with_postponed_annotations(tmp_path: Path) -> None:
    """With postponed annotations, dataclass looks up the module by name."""
    file = tmp_path / "postponed.py"
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    dataclass = "@dataclass\nclass Width:\n    value: float\n"
    file.write_text(head + EXAMPLE.read_text().replace("KERNELS =", f"{dataclass}\n\nKERNELS ="))
    space = load_space(f"{file}:my_space")
    assert space.draw(Random(0)).choices


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("proxyless:widths=1.0", "has no option 'widths'. Options: in_channels"),
        ("proxyless:ops=skip", "leave no choice where stride or channels change"),
        ("proxyless:ops=k3e3-k9e9", "unknown op: 'k9e9'. Known: k3e3, k3e6"),
        ("proxyless:ops=k3e3-k3e3", "ops must have at least one entry and no duplicates"),
        ("proxyless:multiplier=0", "multiplier is 0; it must be between 0.1 and 10"),
        ("proxyless:first_channels=0", "first_channels is 0; it must be between 1 and 1,000,000"),
        (
            "fbnet:stage_widths=8-16",
            "2 stage_widths, 7 stage_repeats, 7 stage_strides: each stage needs one entry in each list",
        ),
        ("fbnet:stem_stride=3", "stem_stride is 3; it must be 1 or 2"),
        ("fbnet:dropout=1", "dropout is 1; it must be 0 or more and below 1"),
        ("fbnet:ops=k7e3", "unknown op: 'k7e3'"),
    ],
)
def test_invalid_options_are_named(options: str, problem: str) -> None:
    with pytest.raises(UnknownSpace, match=re.escape(problem)):
        load_space(options)
