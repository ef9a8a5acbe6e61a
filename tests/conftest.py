"""What several tests share: small spaces and settings that are presets of the real ones."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from toolchain.config import Config, parse_config, preset_text
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

TINY = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


@pytest.fixture(scope="session")
def paper_space() -> SearchSpace:
    return load_space("shufflenet_v2")


@pytest.fixture(scope="session")
def tiny_space() -> SearchSpace:
    """The paper's blocks, few and narrow: a step takes milliseconds."""
    return load_space(TINY)


@pytest.fixture
def tiny_config(tmp_path: Path) -> Config:
    """The quick preset on scikit-learn's digits, in a folder of the test's own."""
    flags = {
        "space": TINY,
        "data": "digits",
        "runs": str(tmp_path / "runs"),
        "holdout_per_class": 20,
        "threads": 1,
        "train.changes": {"epochs": 1, "batch": 32},
        "retrain.changes": {"epochs": 1, "batch": 32},
        "profile": {"rounds": 2, "min_ms": 1.0, "batch": 8, "db": str(tmp_path / "latency.sqlite")},
        "search": {"population": 6, "generations": 3, "top_k": 3, "bn_images": 128, "batch": 64},
    }
    return parse_config(preset_text("quick"), flags, "test")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Layers this small gain nothing from a second thread, and lose ten times where both cores are taken."""
    torch.set_num_threads(1)
