"""What several tests share: small spaces and settings that are presets of the real ones."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from cli.openmp import SPINCOUNT

os.environ.setdefault("GOMP_SPINCOUNT", SPINCOUNT)  # as cli/main.py, before torch loads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads wait busily, beside another worker on two cores

import pytest
import torch
from hypothesis import settings

from cli.main import app
from toolchain.config import Config, parse_config, preset_text
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace

TINY = "shufflenet_v2_quick:size_px=16,stem_channels=8,stage_widths=16-24,stage_repeats=2-2,head_channels=32"

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

# A shell lets its background jobs ignore Ctrl-C, and they hand that on to all commands that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup() -> None:
    """CI has an hour, on machines of any speed: tests that would begin after TESTS_UNTIL are skipped and listed."""
    until = os.environ.get("TESTS_UNTIL")  # seconds since 1970
    if until and time.time() > float(until):
        pytest.skip("the time of this test run is over (TESTS_UNTIL)")


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
        "profile": {"rounds": 2, "min_ms": 1.0, "batch": 8, "networks": 3, "db": str(tmp_path / "latency.sqlite")},
        "search": {"population": 6, "generations": 3, "top_k": 3, "bn_images": 128, "batch": 64},
    }
    return parse_config(preset_text("quick"), flags, "test")


@pytest.fixture(autouse=True, scope="session")
def own_turns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests don't wait for whoever measures on this machine, nor for other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASTOOL_LOCKS", str(tmp_path_factory.mktemp("locks")))
        patch.setenv("NASTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Layers this small gain nothing from a second thread, and lose ten times where both cores are taken."""
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON document that stdout must be."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document


def type_nastool(*words: str | Path, cwd: Path) -> Answer:
    """`nastool WORDS` in `cwd`, through the entry point, but in this process: torch loads once, not each time.

    What libraries write past Python, straight to descriptors 1 and 2, is caught as well. An exception that the
    command line lets through fails the test.
    """
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nastool", *map(str, words)])
        code = None
        with _descriptor(1, stdout), _descriptor(2, stderr), redirect_stdout(stdout), redirect_stderr(stderr):
            try:
                with chdir(cwd):
                    app()
            except SystemExit as ended:
                code = ended.code
        stdout.seek(0)
        stderr.seek(0)
        assert isinstance(code, int), "a command ends with an exit code"
        return Answer(code, stdout.read(), stderr.read())


@contextmanager
def _descriptor(number: int, file: IO[str]) -> Iterator[None]:
    """Descriptor `number` writes into `file`."""
    before = os.dup(number)
    os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        file.flush()
        os.dup2(before, number)
        os.close(before)


@pytest.fixture(scope="session")
def nastool() -> Callable[..., Answer]:
    """`nastool("cost", "--json", cwd=folder)` -> Answer."""
    return type_nastool


@dataclass
class OpenPage:
    """A page in a tab, with everything that went wrong in it: console messages, errors, requests to a network."""

    tab: Any
    problems: list[str] = field(default_factory=list)


class Chromium:
    """Debian's package `chromium`, driven by playwright. `missing`: what is not installed; empty if it can be used."""

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    local = ("file:", "data:", "blob:")

    @property
    def missing(self) -> str:
        if find_spec("playwright") is None:
            return "playwright is not installed: pip install -e '.[dev]'"
        return "" if self.path else "Chromium is not installed (Debian: apt-get install chromium)"

    @contextmanager
    def launched(self) -> Iterator[Any]:
        """A browser; while it runs, asyncio cannot be used in this thread."""
        from playwright.sync_api import sync_playwright

        with sync_playwright() as driver:
            flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
            yield driver.chromium.launch(executable_path=self.path, args=flags)

    def open(self, context: Any, page: Path) -> OpenPage:
        """A report in a new tab, once its first plot is drawn."""
        opened = OpenPage(context.new_page())
        opened.tab.on("console", lambda message: opened.problems.append(f"{message.type}: {message.text}"))
        opened.tab.on("pageerror", lambda error: opened.problems.append(str(error)))
        opened.tab.on("request", lambda sent: sent.url.startswith(self.local) or opened.problems.append(sent.url))
        opened.tab.goto(page.as_uri())
        opened.tab.wait_for_selector("#plot-front .main-svg")
        return opened


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    return Chromium()
