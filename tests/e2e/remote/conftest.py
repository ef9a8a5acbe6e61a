"""A device that is reached by ssh; benchmarks/loopback_ssh.py starts its server."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A device whose address the ssh command knows (NASTOOL_SSH)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import loopback_ssh

        if reason := loopback_ssh.missing():
            pytest.skip(reason)
        folder = tmp_path_factory.mktemp("ssh")
        with loopback_ssh.ssh_device(folder, loopback_ssh.environment(folder / "environment")) as started:
            patch.setenv("NASTOOL_SSH", started.ssh)
            yield started
    sys.modules.pop("loopback_ssh", None)
