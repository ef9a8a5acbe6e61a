"""The documentation builds as a site: no link to a page or an anchor that does not exist, and each page is in it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "scripts" / "build-docs"


@pytest.mark.long
def test_the_site_builds(tmp_path: Path) -> None:
    built = subprocess.run([sys.executable, BUILD, "--site-dir", tmp_path], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    home = (tmp_path / "index.html").read_text()
    assert "fits a latency budget on your device" in home
    supernet = (tmp_path / "docs" / "concepts" / "supernet.html").read_text()
    assert '<img alt="Three choice blocks' in supernet
    assert "benchmarks/index.html#prefix-trie-evaluation" in (tmp_path / "docs/concepts/prefix-trie.html").read_text()


@pytest.mark.long
@pytest.mark.parametrize(
    ("link", "problem"),
    [("nowhere.md", "nowhere.md"), ("data.md#no-such-heading", "does not contain an anchor '#no-such-heading'")],
)
def test_a_broken_link_fails_the_build(link: str, problem: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("docs", "benchmarks", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.pyc"))
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "mkdocs.yml"):
        shutil.copy(ROOT / name, copy / name)
    page = copy / "docs" / "paper.md"
    page.write_text(f"{page.read_text()}\n[broken]({link})\n")
    built = subprocess.run(
        [sys.executable, copy / "scripts" / "build-docs"],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 1
    assert problem in built.stdout + built.stderr


def test_each_page_is_in_the_navigation() -> None:
    navigation = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {
        str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md") if not re.match(r"\d{4}-", path.name)
    }
    assert pages - navigation == set()
    assert {page for page in navigation if not (ROOT / page).exists()} == set()
