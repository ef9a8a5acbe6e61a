"""Commands, flags and links on the pages exist, and decision records are numbered and listed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.main import commands

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md")
    for path in ROOT.glob(pattern)
    if ".venv" not in path.parts
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
SOURCES = sorted(
    path for room in ("cli", "toolchain", "exporters", "latency_db") for path in (ROOT / room).rglob("*.py")
)


def leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Each command by its full name: `search`, `db list`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMAND_FLAGS: dict[str, set[str]] = {
    name: {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    | set(command.get_help_option_names(command.make_context(name, [], resilient_parsing=True)))
    for name, command in leaves(get_command(commands))
}


def text_of(page: Path) -> str:
    """A page without HTML comments."""
    return re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.DOTALL)


def prose_of(page: Path) -> str:
    """A page without code blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE))


def commands_on(page: Path) -> Iterator[list[str]]:
    """The nastool commands in a page's code blocks, as words without the program's name."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if match := re.fullmatch(r"(?:\$ )?(nastool .*)", line):
                yield shlex.split(re.split(r"[;|>]", match[1])[0], comments=True)[1:]


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(params=PAGES, ids=name_of)
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_are_pages_to_test() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/commands.md"} <= {name_of(page) for page in PAGES}
    assert {"profile", "search", "export", "check"} <= {command for command, *_ in commands_on(ROOT / "README.md")}


@pytest.mark.parametrize("command", COMMAND_FLAGS)
def test_every_command_is_described(command: str) -> None:
    heading = re.compile(rf"^#+ .*\bnastool {command}\b", re.MULTILINE)
    described = [page for page in (ROOT / "README.md", ROOT / "docs" / "commands.md") if heading.search(text_of(page))]
    assert described, f"add a section on nastool {command} to docs/commands.md"


def test_every_flag_is_described() -> None:
    described = set(re.findall(r"--[a-z][a-z-]*", text_of(ROOT / "docs" / "commands.md")))
    flags = {flag for flags in COMMAND_FLAGS.values() for flag in flags if flag.startswith("--")}
    assert flags - {"--help"} <= described


def test_commands_on_pages_exist_with_their_flags(page: Path) -> None:
    for first, *words in commands_on(page):
        command = first if first in COMMAND_FLAGS or not words else f"{first} {words[0]}"
        assert command in COMMAND_FLAGS, command
        flags = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert flags <= COMMAND_FLAGS[command], f"nastool {command} {' '.join(words)}"


def test_links_are_valid(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors_of(linked), target


def test_no_page_contains_a_local_path(page: Path) -> None:
    places = r"(?<![\w.~$/-])/(?:work|home|root|tmp|Users|mnt|opt|workspace)(?:/|\b)|\b[A-Z]:\\"
    assert not re.findall(places, page.read_text())


@pytest.mark.parametrize("note", DECISIONS, ids=name_of)
def test_decision_is_listed_under_its_number(note: Path) -> None:
    title = re.match(r"# (\d{4}): (.+)\n", note.read_text())
    assert title is not None
    assert note.name.startswith(f"{title[1]}-")
    assert f"| [{title[1]}]({note.name}) | {title[2]} |" in (note.parent / "README.md").read_text()


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(note.name[:4]) for note in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_comment_that_refers_to_a_decision_has_one() -> None:
    pointing = [name_of(source) for source in SOURCES if "(docs/decisions)" in source.read_text()]
    notes = "".join(note.read_text() for note in DECISIONS)
    assert pointing
    assert [source for source in pointing if source not in notes] == []
