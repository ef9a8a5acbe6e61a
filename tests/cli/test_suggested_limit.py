"""The limit in the hint after training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.suggested_limit import suggested_limit
from toolchain.config import Config
from toolchain.spaces import load_space


@pytest.mark.long
def test_macs_are_suggested_where_the_head_is_not_measured(
    tiny_config: Config, nastool: Callable[..., Any], tmp_path: Path
) -> None:
    """A table of 10 classes lacks the head of 3 classes; training ended with exit code 2 after its last step."""
    flags = ["--space", tiny_config.space, "--backend", "fake", "--batch", "8", "--db", str(tiny_config.profile.db)]
    assert nastool("profile", *flags, "--networks", "3", cwd=tmp_path).code == 0
    profile = tiny_config.profile.model_copy(update={"backend": "fake", "threads": 1})
    config = tiny_config.model_copy(update={"profile": profile})
    assert suggested_limit(config, load_space(tiny_config.space))[0] == "--latency"
    assert suggested_limit(config, load_space(f"{tiny_config.space},classes=3")) == ("--macs", "35.2k")
