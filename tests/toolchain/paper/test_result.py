"""Rows and curves over seeds: their means, their text, and what they say of the paper's claims."""

import csv
from pathlib import Path

import pytest

from toolchain.paper.curves import best_so_far
from toolchain.paper.files import write_result
from toolchain.paper.result import Claim, Column, Curve, PaperResult, Row, cell, number_in
from toolchain.paper.rows import Rows
from toolchain.search.strategies import Scored
from toolchain.spaces.core import Architecture
from toolchain.training.mean_interval import mean_interval

COLUMNS = (
    Column(key="test_accuracy", heading="test accuracy", unit="share"),
    Column(key="macs", heading="MACs", unit="MACs"),
)


def result(*rows: Row, curves: tuple[Curve, ...] = ()) -> PaperResult:
    return PaperResult(
        name="table3",
        title="Table 3",
        preset="quick",
        command="nastool paper table3 --seeds 0..2",
        space="s",
        data="digits",
        machine="m",
        seeds=(0, 1, 2),
        columns=COLUMNS,
        drawn="test_accuracy",
        printed=("top-1",),
        rows=rows,
        curves=curves,
        claims=(Claim(better="ours", worse="random", key="test_accuracy"),),
    )


def row(name: str, *accuracies: float | None, printed: str = "") -> Row:
    return Row(name=name, values={"test_accuracy": accuracies, "macs": (1e6, 1e6, 2e6)}, printed={"top-1": printed})


def statement(ours: tuple[float | None, ...], random: tuple[float | None, ...]) -> str:
    (text,) = result(row("ours", *ours), row("random", *random)).statements
    return text


def test_claims_are_judged_by_paired_differences() -> None:
    """Differences of 1, 2 and 3 points: mean 2, standard deviation 1, t of 2 degrees 4.3027: 2.48 points."""
    assert statement((0.91, 0.82, 0.73), (0.90, 0.80, 0.70)) == (
        "ours minus random: +2.00 +- 2.48 points (3 seeds): no difference shows at this scale"
    )
    assert statement((0.92, 0.82, 0.721), (0.90, 0.80, 0.70)).endswith("the paper's order shows")
    assert statement((0.90, 0.80, 0.70), (0.92, 0.82, 0.721)).endswith("the opposite of the paper's order shows")
    assert statement((0.92, None, None), (0.90, 0.80, 0.70)) == (
        "ours minus random: +2.00 points (1 seed, so the noise is not known)"
    )
    assert statement((None, None, None), (0.9, 0.8, 0.7)) == "ours minus random: no seed has both"


def test_cells() -> None:
    assert cell(mean_interval([0.9, 0.91, 0.92]), "share") == "91.00% +- 2.48"
    assert cell(mean_interval([0.9]), "share") == "90.00%"
    assert cell(mean_interval([1e6, 2e6]), "MACs") == "1.50M"
    assert cell(mean_interval([2.0, 3.0, 4.0]), "ms") == "3 +- 2.48 ms"
    assert cell(None, "ms") == "none"
    assert cell(mean_interval([2.5]), "ms") == "2.5 ms"
    assert [number_in(text) for text in ("~73.7", "74.2 (74.6)", "not printed")] == [73.7, 74.2, None]


def test_curves_of_seeds_with_an_exhausted_space() -> None:
    curve = Curve(name="evolution", runs=((0.5, 0.6, 0.7), (0.5, 0.8)))
    assert [mean.mean for mean in curve.means()] == pytest.approx([0.5, 0.7, 0.75])


def test_files(tmp_path: Path) -> None:
    curves = (Curve(name="evolution", runs=((0.5, 0.6), (0.7, 0.8), (0.6, 0.7))),)
    rows = (row("ours", 0.9, 0.91, 0.92, printed="74.3"), row("random", 0.9, None, 0.92, printed="~73.7"))
    files = write_result(tmp_path, result(*rows, curves=curves))
    assert [path.name for path in files] == ["table3.md", "table3.csv", "table3_curves.csv", "table3.png"]
    lines_of_page = files[0].read_text().splitlines()
    assert "| ours | 91.00% +- 2.48 | 1.33M | 74.3 |" in lines_of_page
    assert "- ours minus random: +0.00 +- 0.00 points (2 seeds): no difference shows at this scale" in lines_of_page
    assert "![Table 3](table3.png)" in lines_of_page
    assert lines_of_page[2].startswith("`nastool paper table3 --seeds 0..2` with s on digits, m; 3 seeds;")
    files = files[1:]
    lines = list(csv.DictReader(files[0].read_text().splitlines()))
    assert [line["name"] for line in lines] == ["ours", "random"]
    assert float(lines[0]["test_accuracy"]) == pytest.approx(0.91)
    assert float(lines[0]["test_accuracy_half_width"]) == pytest.approx(0.0248, abs=1e-4)
    assert (lines[1]["test_accuracy_seed1"], lines[1]["top-1"]) == ("", "~73.7")
    generations = list(csv.DictReader(files[1].read_text().splitlines()))
    assert [(line["curve"], line["generation"], line["seed2"]) for line in generations] == [
        ("evolution", "1", "0.6"),
        ("evolution", "2", "0.7"),
    ]
    assert files[2].read_bytes().startswith(b"\x89PNG")
    assert PaperResult.model_validate_json((tmp_path / "result.json").read_bytes()) == result(*rows, curves=curves)


def test_rows_are_filled_seed_by_seed() -> None:
    rows = Rows(["first", "second"])
    rows.add("second", "note", macs=1.0)
    rows.add("second", macs=None)
    rows.add("third", macs=2.0)
    assert rows.names == ("first", "second", "third")
    _, second, _ = rows.rows({"second": {"top-1": "70"}})
    assert (second.values, second.note, second.printed) == ({"macs": (1.0, None)}, "note", {"top-1": "70"})


def test_best_so_far() -> None:
    """The first candidate is of generation 0; the second generation has nothing better."""
    arch = Architecture("s", ("choice_3",))
    scored = [Scored(arch, accuracy, generation, "random") for accuracy, generation in ((0.5, 0), (0.6, 0), (0.4, 1))]
    assert best_so_far(scored) == (0.6, 0.6)
    assert best_so_far([*scored, Scored(arch, 0.7, 2, "mutation")]) == (0.6, 0.6, 0.7)
