"""The interactive plots of a report, from its document (plotly; docs/decisions says why)."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import plotly.graph_objects as go
from markupsafe import Markup

from toolchain.report.architecture import COST_NAMES
from toolchain.report.colors import FIXED, color_of, colors_of
from toolchain.run_report.document import BudgetReport, CandidatePoint, Curve, RunReport, SearchReport

WINNER, BUDGET, FRONT = "#d1495b", "#8a8a8a", "#2f8fbf"  # on light and dark ground
STRATEGIES = {"evolution": FRONT, "random": "#9a9a9a", "simple": "#e0a030"}
LABELS = {"evolution": "evolution", "random": "random search", "simple": "simple networks"}
CURVE_NAMES = {"loss": "loss", "accuracy": "accuracy on training images", "learning_rate": "learning rate"}
CHOICES_IN_LINE = 4  # of an architecture that is shown while the pointer is over its point
CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}
MILLION = 1e6


def chart(figure: go.Figure, name: str) -> Markup:
    """A figure as HTML; the page must contain plotly.js once before it."""
    figure.update_layout(
        height=400,
        margin={"l": 60, "r": 15, "t": 30, "b": 55},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(gridcolor="rgba(128,128,128,0.2)", zeroline=False)
    figure.update_yaxes(gridcolor="rgba(128,128,128,0.2)", zeroline=False)
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{name}", config=CONFIG))


def plotly_script() -> Markup:
    """plotly.js, to be embedded in the page."""
    from plotly.offline import get_plotlyjs

    return Markup(f"<script>{get_plotlyjs()}</script>")


def front_chart(report: RunReport, search: SearchReport) -> go.Figure:
    """Accuracy against cost for all candidates, the front, the winners with their intervals, and the budgets."""
    figure = go.Figure()
    for strategy in dict.fromkeys(point.strategy for point in search.candidates):
        points = [point for point in search.candidates if point.strategy == strategy]
        figure.add_trace(
            go.Scatter(
                x=[_cost(point, search) for point in points],
                y=[point.accuracy for point in points],
                mode="markers",
                name=LABELS.get(strategy, strategy),
                marker={"size": 7, "color": STRATEGIES.get(strategy, FIXED), "opacity": 0.75},
                text=[_hover(point) for point in points],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    front = [search.candidates[number] for number in search.front]
    figure.add_trace(
        go.Scatter(
            x=[_cost(point, search) for point in front],
            y=[point.accuracy for point in front],
            mode="lines",
            name="front",
            line={"shape": "hv", "color": FRONT, "width": 1.5},
            hoverinfo="skip",
        )
    )
    figure.add_trace(_winners(report.budgets, search))
    for budget in report.budgets:
        for limit in budget.limits:
            if limit.cost == search.cost:
                figure.add_vline(x=limit.most / _scale(search), line={"dash": "dot", "color": BUDGET, "width": 1.5})
    title = "latency (ms), predicted; winners measured" if search.cost == "latency_ms" else "MACs (M)"
    figure.update_xaxes(title=title)
    figure.update_yaxes(title="hold-out accuracy, inherited weights", tickformat=".1%")
    return figure


def _winners(budgets: Sequence[BudgetReport], search: SearchReport) -> go.Scatter:
    """Winners at their measured latency, with the intervals of both."""
    x = [_winner_cost(budget, search) for budget in budgets]
    upper = [(budget.measured.upper_ms or budget.measured.ms) if budget.measured else None for budget in budgets]
    right = [
        max(0.0, high - at) if high and search.cost == "latency_ms" else 0 for high, at in zip(upper, x, strict=True)
    ]
    shares = [budget.inherited for budget in budgets]
    return go.Scatter(
        x=x,
        y=[share.share for share in shares],
        error_x={"type": "data", "array": right, "arrayminus": [0] * len(right), "color": WINNER},
        error_y={
            "type": "data",
            "array": [(share.high or share.share) - share.share for share in shares],
            "arrayminus": [share.share - (share.low or share.share) for share in shares],
            "color": WINNER,
        },
        mode="markers",
        name="winner, 95% interval",
        marker={"symbol": "star", "size": 16, "color": WINNER},
        text=[f"winner of {budget.name}<br>{_lines(' '.join(budget.architecture))}" for budget in budgets],
        hovertemplate="%{text}<extra></extra>",
    )


def _winner_cost(budget: BudgetReport, search: SearchReport) -> float:
    latency = budget.measured or budget.predicted
    return budget.macs / MILLION if search.cost == "macs" or latency is None else latency.ms


def _cost(point: CandidatePoint, search: SearchReport) -> float | None:
    return point.latency_ms if search.cost == "latency_ms" else point.macs / MILLION


def _scale(search: SearchReport) -> float:
    return 1.0 if search.cost == "latency_ms" else MILLION


def _hover(point: CandidatePoint) -> str:
    latency = "" if point.latency_ms is None else f"{point.latency_ms:.3f} ms predicted, "
    numbers = f"{point.accuracy:.2%}, {latency}{point.macs / MILLION:,.2f}M MACs"
    return f"{_lines(point.architecture)}<br>{numbers}<br>generation {point.generation + 1}"


def _lines(architecture: str) -> str:
    choices = architecture.split()
    rows = [choices[start : start + CHOICES_IN_LINE] for start in range(0, len(choices), CHOICES_IN_LINE)]
    return "<br>".join(" ".join(row) for row in rows)


def generations_chart(search: SearchReport) -> go.Figure:
    """Best so far and median of each generation, with the band between the quartiles (paper Fig. 3)."""
    figure = go.Figure()
    for strategy, group in groupby(search.generations, key=lambda generation: generation.strategy):
        rows = list(group)
        if len(rows) < 2:  # simple networks are no search
            continue
        numbers, color = [row.generation + 1 for row in rows], STRATEGIES.get(strategy, FIXED)
        label = LABELS.get(strategy, strategy)
        figure.add_trace(
            go.Scatter(
                x=[*numbers, *reversed(numbers)],
                y=[*(row.high for row in rows), *(row.low for row in reversed(rows))],
                mode="lines",
                fill="toself",
                fillcolor=color,
                opacity=0.2,
                line={"width": 0},
                name=f"{label}: quartiles",
                hoverinfo="skip",
            )
        )
        for name, values, dash in (
            ("best so far", [row.best_so_far for row in rows], "solid"),
            ("median", [row.median for row in rows], "dash"),
        ):
            figure.add_trace(
                go.Scatter(
                    x=numbers,
                    y=values,
                    mode="lines+markers",
                    name=f"{label}: {name}",
                    line={"color": color, "dash": dash},
                    hovertemplate="generation %{x}: %{y:.2%}",
                )
            )
    figure.update_xaxes(title="generation", dtick=max(1, len({row.generation for row in search.generations}) // 10))
    figure.update_yaxes(title="hold-out accuracy, inherited weights", tickformat=".1%")
    return figure


def blocks_chart(budget: BudgetReport) -> go.Figure:
    """The share of each block, and of stem and head, in the cost."""
    network = budget.network
    colors = colors_of(block.look for block in network.blocks)
    names = [f"block {number}" for number in range(1, len(network.blocks) + 1)]
    texts = [
        f"{name}: {block.choice}<br>{block.geometry}<br>{_amount(block.cost, network.unit)}, {block.share:.1%}"
        for name, block in zip(names, network.blocks, strict=True)
    ]
    fixed = f"stem and head<br>{_amount(network.fixed, network.unit)}, {network.fixed_share:.1%}"
    figure = go.Figure(
        go.Bar(
            x=[*names, "stem, head"],
            y=[*(block.share for block in network.blocks), network.fixed_share],
            marker={"color": [*(color_of(block.look, colors) for block in network.blocks), FIXED]},
            hovertext=[*texts, fixed],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    figure.update_yaxes(title=f"share of {COST_NAMES.get(network.cost, network.cost)}", tickformat=".0%")
    return figure


def _amount(value: float, unit: str) -> str:
    return f"{value:.4f} ms" if unit == "ms" else f"{value:,.0f} {unit}"


def predictions_chart(search: SearchReport) -> go.Figure:
    """Predicted against measured latency of whole networks."""
    figure = go.Figure()
    for role, label, color in (
        ("calibration", "calibrated on", FIXED),
        ("search", "measured by searches", WINNER),
    ):
        points = [point for point in search.predictions if point.role == role]
        figure.add_trace(
            go.Scatter(
                x=[point.predicted_ms for point in points],
                y=[point.measured_ms for point in points],
                mode="markers",
                name=label,
                marker={"size": 8, "color": color},
                text=[
                    f"{_lines(point.architecture)}<br>predicted {point.predicted_ms:.3f} ms, measured "
                    f"{point.measured_ms:.3f} ms ({point.measured_ms / point.predicted_ms - 1:+.1%})"
                    for point in points
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    ends = [min(_all_ms(search)), max(_all_ms(search))]
    line = {"color": BUDGET, "dash": "dot", "width": 1}
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", name="equal", line=line, hoverinfo="skip"))
    figure.update_xaxes(title="predicted (ms)")
    figure.update_yaxes(title="measured (ms)")
    return figure


def _all_ms(search: SearchReport) -> Iterator[float]:
    for point in search.predictions:
        yield point.predicted_ms
        yield point.measured_ms


def curves_chart(curves: Sequence[Curve], name: str) -> go.Figure:
    """One quantity of all trainings against the step."""
    figure = go.Figure()
    for curve in curves:
        if curve.name == name:
            x, y = zip(*curve.points, strict=True)
            label = curve.training.replace("retrain-", "retrained ")
            figure.add_trace(go.Scatter(x=x, y=y, mode="lines", name=label))
    figure.update_xaxes(title="step")
    figure.update_yaxes(title=CURVE_NAMES.get(name, name), tickformat=".0%" if name == "accuracy" else "")
    return figure
