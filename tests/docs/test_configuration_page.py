"""docs/configuration.md is what the models say."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

Script = Callable[[str], ModuleType]
ROOT = Path(__file__).parents[2]


def test_the_page_is_generated_from_the_models(script: Script) -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    assert page == script("configuration-reference").page(), "run scripts/configuration-reference"
    for key in ("holdout_per_class", "quiet_timeout_s", "finalist_time_s", "label_smoothing", "color_jitter"):
        assert f"| `{key}` |" in page
