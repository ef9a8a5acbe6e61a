"""A table or figure as a page in Markdown: the table, what it says of the paper's claims, and where it was measured."""

from toolchain.paper.result import PaperResult, count_seeds


def page(result: PaperResult) -> str:
    """The page, beside which the picture lies as NAME.png."""
    interval = "; +- is half of the 95 % interval of a mean" if len(result.seeds) > 1 else ""
    return "\n".join(
        [
            f"# {result.title}",
            "",
            f"`{result.command}` with {result.space} on {result.data}, {result.machine}; "
            f"{count_seeds(len(result.seeds))}{interval}.",
            "",
            *_table(result),
            "",
            f"![{result.title}]({result.name}.png)",
            "",
            *(f"- {text}" for text in (*result.statements, *result.notes)),
            "",
        ]
    )


def _table(result: PaperResult) -> list[str]:
    headings, *rows = result.texts()
    return [_line(headings), "|---" * len(headings) + "|", *map(_line, rows)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(text.replace('|', '/') for text in cells)} |"
