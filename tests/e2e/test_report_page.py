"""The page of `nastool report` in Chromium: figures, plots, themes and widths, without errors and without a network.

Debian's package `chromium` is driven by playwright; without it these tests are skipped.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Nastool = Callable[..., Any]
OpenPage = Any  # of tests/conftest.py
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Iterator[Any]:
    if chromium.missing:
        pytest.skip(chromium.missing)
    with chromium.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def report(finished_job: Any, nastool: Nastool, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The page of the finished job, and the answer of --json."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert nastool("report", "r", "--out", str(path), cwd=finished_job.folder).code == 0
    return path, nastool("report", "r", "--json", cwd=finished_job.folder).json


@pytest.fixture
def open_page(browser: Any, chromium: Any, report: tuple[Path, Any]) -> Iterator[Callable[..., OpenPage]]:
    contexts = []

    def open_at(width: int = 1200, scheme: str = "light") -> OpenPage:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        return chromium.open(context, report[0])

    yield open_at
    for context in contexts:
        context.close()


def value_of(document: Any, place: str) -> Any:
    for part in place.split("."):
        document = document[int(part) if part.isdecimal() and isinstance(document, list) else part]
    return document


def written(value: Any, form: str) -> str:
    """A figure as people read it."""
    texts = {
        "share": lambda: f"{100 * value:.2f}%",
        "percent": lambda: f"{100 * value:.1f}%",
        "ms": lambda: f"{value:.3f} ms" if value >= 0.1 else f"{value:.4f} ms",
        "count": lambda: f"{value:,}",
        "text": lambda: str(value),
        "bytes": lambda: f"{value / 1000:,.1f} kB" if value < 1_000_000 else f"{value / 1_000_000:,.2f} MB",
        "short": lambda: f"{value / 1000:.2f}k" if value < 1_000_000 else f"{value / 1_000_000:.2f}M",
    }
    return texts[form]()


def test_no_errors_and_no_network(open_page: Callable[..., OpenPage]) -> None:
    page = open_page()
    page.tab.wait_for_timeout(300)
    assert page.problems == []


def test_every_figure_is_that_of_the_json(open_page: Callable[..., OpenPage], report: tuple[Path, Any]) -> None:
    figures = open_page().tab.eval_on_selector_all(
        "data", "all => all.map(one => [one.dataset.field, one.dataset.form, one.value, one.textContent])"
    )
    assert len(figures) > 50
    for place, form, value, text in figures:
        expected = value_of(report[1], place)
        assert json.loads(value) == expected, place
        assert text == written(expected, form), place


def test_no_number_is_written_without_its_field(open_page: Callable[..., OpenPage], report: tuple[Path, Any]) -> None:
    text = open_page().tab.evaluate(
        """() => { const copy = document.body.cloneNode(true);
           copy.querySelectorAll('data, code, pre, svg, script, style, .js-plotly-plot, h1, h2')
               .forEach(part => part.remove());
           return copy.textContent; }"""
    )
    (budget,) = report[1]["budgets"]
    noise = budget["measured"]["unstable"]  # a sentence with a number, on a busy machine
    for known in (budget["calibration"]["in_words"], noise, "95%", "SHA-256", "fp32"):
        text = text.replace(known, "")
    assert [word for word in re.sub(r"block \d", "", text).split() if re.search(r"\d", word)] == []


def test_plots_have_the_points_of_the_json(open_page: Callable[..., OpenPage], report: tuple[Path, Any]) -> None:
    tab, search = open_page().tab, report[1]["search"]
    front = tab.evaluate("document.getElementById('plot-front').data.map(one => [one.name, [...one.x], [...one.y]])")
    points = {name: list(zip(x, y, strict=True)) for name, x, y in front}
    evolution = [point for point in search["candidates"] if point["strategy"] == "evolution"]
    assert points["evolution"] == [(point["latency_ms"], point["accuracy"]) for point in evolution]
    (budget,) = report[1]["budgets"]
    assert points["winner, 95% interval"] == [(budget["measured"]["ms"], budget["inherited"]["share"])]
    bars = tab.evaluate("[...document.getElementById('plot-blocks-0').data[0].y]")
    assert bars[:-1] == [block["share"] for block in budget["network"]["blocks"]]
    measured = tab.evaluate("document.getElementById('plot-predictions').data.map(one => one.x.length)")
    assert measured == [3, 1, 2], "three networks of the profile, the winner, and the ends of the line"


def test_a_point_shows_its_architecture(open_page: Callable[..., OpenPage], report: tuple[Path, Any]) -> None:
    page = open_page()
    page.tab.evaluate("Plotly.Fx.hover('plot-front', [{curveNumber: 0, pointNumber: 0}])")
    shown = page.tab.text_content("#plot-front .hoverlayer")
    first = report[1]["search"]["candidates"][0]
    assert all(choice in shown for choice in first["architecture"].split())
    assert f"{first['accuracy']:.2%}" in shown
    assert page.problems == []


def test_dragging_zooms(open_page: Callable[..., OpenPage]) -> None:
    tab = open_page().tab
    axis = "[...document.getElementById('plot-front')._fullLayout.xaxis.range]"
    before = tab.evaluate(axis)
    tab.locator("#plot-front").scroll_into_view_if_needed()
    box = tab.locator("#plot-front .nsewdrag").bounding_box()
    tab.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    tab.mouse.up()
    tab.wait_for_function(f"JSON.stringify({axis}) !== {json.dumps(json.dumps(before, separators=(',', ':')))}")
    low, high = tab.evaluate(axis)
    assert before[0] < low < high < before[1]


@pytest.mark.parametrize("width", [360, 390, 768, 1600])
def test_the_page_does_not_scroll_sideways(width: int, open_page: Callable[..., OpenPage]) -> None:
    tab = open_page(width).tab
    for summary in tab.query_selector_all("summary"):
        summary.click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_both_themes_are_readable(scheme: str, dark: bool, open_page: Callable[..., OpenPage]) -> None:
    tab = open_page(scheme=scheme).tab
    ground = _brightness(tab, "document.querySelector('section')", "backgroundColor")
    assert (ground < 0.3) is dark
    for element, name in (
        ("document.querySelector('h2')", "color"),
        ("document.querySelector('#plot-front .xtick text')", "fill"),
        ("document.querySelector('.drawing svg text')", "fill"),
    ):
        assert abs(_brightness(tab, element, name) - ground) > 0.5, element


def _brightness(tab: Any, element: str, name: str) -> float:
    """0 (black) to 1 (white)."""
    color = tab.evaluate(f"getComputedStyle({element}).{name}")
    return sum(map(int, re.findall(r"\d+", color)[:3])) / (3 * 255)
