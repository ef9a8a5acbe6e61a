"""The document of a report as one self-contained HTML page. Every number on it is a field of the document."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from pydantic import JsonValue

from toolchain.report.architecture import architecture_figure
from toolchain.report.blocks import NetworkParts
from toolchain.report.figures import svg_text
from toolchain.run_report import charts
from toolchain.run_report.document import RunReport

TEMPLATES = Path(__file__).parent / "templates"
FINE_MS = 0.1  # shorter latencies have a digit more


def page(report: RunReport) -> str:
    """The page, with plotly.js and its pictures in it; it needs no network."""
    return _template("report.html.jinja").render(
        report=report,
        figure=Figures(report),
        plotly=charts.plotly_script(),
        plots=_plots(report),
        drawings=[drawing(budget.network) for budget in report.budgets],
        document=Markup(json_text(report)),
    )


def model_card(report: RunReport, number: int) -> str:
    """The model card of one budget, in the layout of Hugging Face: a YAML header, then Markdown."""
    return _template("model_card.md.jinja").render(
        report=report, budget=report.budgets[number], path=f"budgets.{number}", figure=Figures(report, plain=True)
    )


def json_text(report: RunReport) -> str:
    """The document as JSON that is safe inside a script element."""
    text = json.dumps(report.model_dump(mode="json"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def document_of(html: str) -> str | None:
    """The JSON document inside a page; None if there is none."""
    match = re.search(r'<script type="application/json" id="report">(.*?)</script>', html, re.DOTALL)
    return match[1] if match else None


def drawing(network: NetworkParts) -> Markup:
    """The picture of an architecture as an SVG element."""
    text = svg_text(architecture_figure([network]))
    return Markup(text[text.index("<svg") :])


class Figures:
    """Writes a field of the document as text with its unit, and with its place in the document.

    In HTML: `<data value="0.8317" data-field="budgets.0.measured.ms">0.832 ms</data>`; `plain`: the text alone.
    """

    def __init__(self, report: RunReport, plain: bool = False) -> None:
        self._content = report.model_dump(mode="json")
        self._plain = plain

    def __call__(self, field: str, form: str) -> Markup | str:
        value = field_of(self._content, field)
        text = formatted(value, form)
        if self._plain:
            return text
        return Markup('<data value="{}" data-field="{}" data-form="{}">{}</data>').format(
            json.dumps(value), field, form, text
        )


def field_of(content: Mapping[str, Any], field: str) -> JsonValue:
    """The value of a dotted field: `budgets.0.measured.ms`."""
    value: Any = content
    for part in field.split("."):
        if value is None:
            return None
        value = value[int(part)] if isinstance(value, Sequence) else value[part]
    result: JsonValue = value
    return result


def formatted(value: JsonValue, form: str) -> str:
    """A number as text: `share` 90.89%, `percent` 90.3%, `ms`, `count` with thousands, `short` 1.06M, `bytes`.

    `length` is the number of entries of a list.
    """
    if value is None:
        return "unknown"
    if form == "length":
        return str(len(value)) if isinstance(value, list) else "unknown"
    if not isinstance(value, int | float):
        return str(value)
    if form == "short":
        from toolchain.units import format_count

        return format_count(value)
    forms = {
        "share": "{:.2%}",
        "percent": "{:.1%}",
        "ms": "{:.3f} ms",
        "count": "{:,.0f}",
        "number": "{:.4g}",
        "change": "{:+.1%}",
    }
    if form == "ms" and value < FINE_MS:
        return f"{value:.4f} ms"
    if form == "bytes":
        return f"{value / 1e6:,.2f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} kB"
    return forms[form].format(value)


def _plots(report: RunReport) -> Mapping[str, Markup]:
    """The plots by name; those without data are left out."""
    plots: dict[str, Markup] = {}
    if report.search is not None:
        plots["front"] = charts.chart(charts.front_chart(report, report.search), "front")
        if len({row.generation for row in report.search.generations}) > 1:
            plots["generations"] = charts.chart(charts.generations_chart(report.search), "generations")
        if report.search.predictions:
            plots["predictions"] = charts.chart(charts.predictions_chart(report.search), "predictions")
    for number, budget in enumerate(report.budgets):
        plots[f"blocks-{number}"] = charts.chart(charts.blocks_chart(budget), f"blocks-{number}")
    for name in ("accuracy", "loss"):
        if any(curve.name == name and curve.points for curve in report.curves):
            plots[name] = charts.chart(charts.curves_chart(report.curves, name), name)
    return plots


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["yaml"] = lambda value: json.dumps(value, ensure_ascii=False)  # JSON is YAML
    return environment.get_template(name)
