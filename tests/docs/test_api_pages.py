"""docs/api-reference.md is generated, and each example of docs/api.md runs (tests/e2e/test_api.py)."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nastool

Script = Callable[[str], ModuleType]
ROOT = Path(__file__).parents[2]


def test_the_reference_is_generated_from_the_docstrings(script: Script) -> None:
    page = (ROOT / "docs/api-reference.md").read_text()
    assert page == script("api-reference").page(), "run scripts/api-reference"
    assert all(f"## {name}\n" in page for name in nastool.__all__)
