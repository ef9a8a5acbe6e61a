"""A small job for the tables that time steps."""

import pytest

from toolchain.config import parse_config, preset_text
from toolchain.progress import Quiet
from toolchain.runs import Run
from toolchain.spaces import load_space
from toolchain.training.data import load_data
from toolchain.training.job import Job

SPACE = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=1-1,head_channels=32"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run that does not exist, whose loss would have a latency that no profile has measured."""
    flags = {"space": SPACE, "data": "digits", "threads": 1, "holdout_per_class": 20, "train.changes": {"batch": 16}}
    flags |= {"train.architecture": {"cost": "latency"}, "train.budgets": ["17ms"], "search.bn_images": 64}
    config = parse_config(preset_text("quick"), flags, "test")
    space = load_space(SPACE)
    folder = tmp_path_factory.mktemp("paper")
    return Job(config, space, load_data("digits", space, 20, 0), Run(folder / "run"), Quiet())
