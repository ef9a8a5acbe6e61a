"""`nastool space`: what a search space holds, and how much of it fits."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation, say_space, with_fitted_space

if TYPE_CHECKING:
    from toolchain.counting.space_summary import SpaceSummary
    from toolchain.spaces.core import ChoiceBlock

MAX_CHOICES_SHOWN = 6
BAR_WIDTH = 32


@configured("space")
def space(invocation: Invocation, json: options.Json = False) -> None:
    """Show a search space: its blocks, size and costs, and how many architectures fit the limits.

    Nothing is trained or measured. Also shows how often each choice occurs: among the architectures that fit, and in
    uniform constraint sampling.
    """
    from cli.early_checks import check_table

    config = with_fitted_space(invocation).config
    say_space(invocation, config)
    check_table(config)
    from toolchain.counting.space_summary import summarize_space
    from toolchain.measuring.from_config import table_target
    from toolchain.nets.checked_space import configured_space
    from toolchain.nets.model_space.notes import space_notes
    from toolchain.search.budget import named_budgets

    space = configured_space(config)
    target = table_target(config.profile, space, need_latency=bool(config.search.latency))
    named, costs = named_budgets(config.search, space, target, config.profile.db)
    budgets = [entry.budget for entry in named]
    summary = summarize_space(space, costs.all, budgets)
    notes = space_notes(space)
    if json:
        console.answer_json(summary.as_dict() | ({"notes": notes} if notes else {}))
        return
    _answer_blocks(summary)
    _answer_costs(summary)
    _answer_feasible(summary)
    _answer_histogram(summary)
    for note in notes:
        console.say(note)
    if costs.latency is not None:
        console.say(f"latency_ms: {costs.latency.predicted.convention}")
        if any(limit.cost.name == "latency_ms" for budget in budgets for limit in budget.limits):
            console.say(f"a limit on latency_ms holds its upper bound: {costs.latency.upper.remark}")
    else:
        console.say("latency_ms: the block variants are not measured on this target. Run nastool profile")


def _answer_blocks(summary: "SpaceSummary") -> None:
    """A row per choice: its share among the architectures that fit, and in constraint sampling.

    Consecutive blocks with equal rows are shown once.
    """
    rows: list[tuple[object, ...]] = []
    shares = [feasible.marginals() for feasible in summary.feasible]
    blocks = zip(summary.space.blocks, *shares, summary.levels, strict=True)
    numbered = enumerate(_choice_rows(block, marginals) for block, *marginals in blocks)
    for choice_rows, group in groupby(numbered, itemgetter(1)):
        numbers = [number for number, _ in group]
        first, *further = choice_rows
        rows += [(_span(numbers[0], numbers[-1]), *first), *(("", "", *row[1:]) for row in further)]
    columns = (
        "blocks",
        "geometry",
        "choice",
        *(f"{feasible.budget}, %" for feasible in summary.feasible),
        f"at levels of {summary.histogram.cost.name}, %",
    )
    console.answer_table(f"{summary.space.name}: choice blocks, and how often each choice occurs", columns, rows)


def _choice_rows(block: "ChoiceBlock", marginals: Sequence[Mapping[str, float]]) -> list[tuple[str, ...]]:
    """Geometry, choice and shares in percent; of many choices, only the rarest and the most frequent."""
    keys = [choice.key for choice in block.choices]
    geometry = block.geometry
    if len(keys) > MAX_CHOICES_SHOWN:
        geometry = f"{geometry}, {len(keys)} choices"
        ends = {end(keys, key=shares.__getitem__) for shares in marginals for end in (min, max)}
        keys = [key for key in keys if key in ends]
    return [(geometry, key, *(f"{100 * shares[key]:.1f}" for shares in marginals)) for key in keys]


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _answer_costs(summary: "SpaceSummary") -> None:
    from toolchain.units import format_number

    rows = []
    for cost in summary.costs:
        reach = summary.ranges[cost.name]
        rows.append((cost.name, "least", cost.exact(reach.least), _runs(reach.cheapest.choices)))
        rows.append(("", "greatest", cost.exact(reach.greatest), _runs(reach.most_expensive.choices)))
    console.answer_table(
        f"{format_number(summary.space.size)} architectures cost", ("cost", "", "", "architecture"), rows
    )


def _runs(choices: Sequence[str]) -> str:
    """`choice_x, 3 choice_3, choice_x`: what comes several times in a row with its number."""
    runs = [(key, len(list(alike))) for key, alike in groupby(choices)]
    return ", ".join(key if times == 1 else f"{times} {key}" for key, times in runs)


def _answer_feasible(summary: "SpaceSummary") -> None:
    from toolchain.units import format_number

    rows = []
    for feasible in summary.feasible:
        about = "" if feasible.exact else "at least "
        reaches = [
            f"{limit.cost.name} {limit.cost.format(reach.least)} to {limit.cost.format(reach.greatest)}"
            for limit in feasible.budget.limits
            for reach in [feasible.range(limit.cost)]
        ]
        share = f"{about}{100 * feasible.share:.6g}%"
        rows.append((feasible.budget, f"{about}{format_number(feasible.count)}", share, ", ".join(reaches)))
    console.answer_table("what fits", ("limits", "architectures", "share", "their costs"), rows)
    for feasible in summary.feasible:
        if feasible.note:
            console.say(f"{feasible.budget}: {feasible.note}")


def _answer_histogram(summary: "SpaceSummary") -> None:
    histogram, size = summary.histogram, summary.space.size
    most = max(histogram.counts)
    limits = [
        limit.most for feasible in summary.feasible for limit in feasible.budget.limits if limit.cost == histogram.cost
    ]
    rows = []
    for low, high, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        marks = " ".join(f"<- limit {histogram.cost.format(limit)}" for limit in limits if low < limit <= high)
        bar = "█" * round(BAR_WIDTH * count / most)
        rows.append((histogram.cost.format(high), f"{100 * count / size:.3g}%", f"{bar} {marks}".strip()))
    console.answer_table(f"{histogram.cost.name} over the space", ("up to", "share", ""), rows)
