"""The latency gate, on the device whose latency is known."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from exporters.backends.fake import latency_ms
from exporters.to_onnx import export_onnx
from latency_db.errors import ContextMismatch
from toolchain.check import CONFIRMATIONS, check, read_baseline
from toolchain.config import Config
from toolchain.errors import BadConfig, MissingStage
from toolchain.progress import Quiet, Task


class Titles(Quiet):
    """Remembers what work was begun."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    def start(self, title: str, total: int, done: int = 0) -> Task:
        self.titles.append(title)
        return super().start(title, total, done)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(nn.Sequential(nn.Conv2d(1, 64, 3), nn.Flatten()), torch.zeros(2, 1, 34, 34), path)
    return path


@pytest.fixture
def config(tiny_config: Config) -> Config:
    return tiny_config.model_copy(update={"profile": tiny_config.profile.model_copy(update={"backend": "fake"})})


@pytest.fixture
def ms(file: Path, config: Config) -> float:
    return latency_ms(file, config.profile.batch)


def baseline(folder: Path, file: Path, config: Config, ms: float) -> Path:
    """An answer of `check --json` on this stack, with another latency written into it."""
    verdict = check(config, file, 1e9, None, Quiet())
    path = folder / "baseline.json"
    path.write_text(json.dumps({"file": "model.onnx", **verdict.as_dict(), "measured_latency_ms": ms}))
    return path


def test_within_the_limit(file: Path, config: Config, ms: float) -> None:
    seen = Titles()
    verdict = check(config, file, ms, None, seen)  # a limit may be used up
    assert (verdict.latency_ms, verdict.limit_ms, verdict.problems) == (ms, ms, ())
    assert seen.titles == ["measure"]
    assert verdict.as_dict()["passed"] is True


def test_over_the_limit_is_measured_again_before_it_counts(file: Path, config: Config, ms: float) -> None:
    seen = Titles()
    verdict = check(config, file, ms * 0.999, None, seen)
    (problem,) = verdict.problems
    assert problem.startswith("over the budget: ")
    assert len(seen.titles) == 1 + CONFIRMATIONS
    assert verdict.as_dict()["passed"] is False


@pytest.mark.parametrize(("slower_by", "passes"), [(0.04, True), (0.06, False), (-0.5, True)])
def test_against_a_baseline(
    file: Path, config: Config, ms: float, slower_by: float, passes: bool, tmp_path: Path
) -> None:
    earlier = baseline(tmp_path, file, config, ms / (1 + slower_by))
    verdict = check(config, file, None, earlier, Quiet())
    assert (verdict.problems == ()) == passes
    if not passes:
        assert "slower than the baseline by 6.0%" in verdict.problems[0]
        assert "5.0% allowed" in verdict.problems[0]


def test_both_problems_are_told(file: Path, config: Config, ms: float, tmp_path: Path) -> None:
    verdict = check(config, file, ms / 2, baseline(tmp_path, file, config, ms / 2), Quiet())
    assert len(verdict.problems) == 2


def test_a_baseline_of_another_stack_is_refused_by_field(file: Path, config: Config, ms: float, tmp_path: Path) -> None:
    earlier = baseline(tmp_path, file, config, ms)
    context = check(config, file, 1e9, None, Quiet()).context
    assert read_baseline(earlier, context) == ms
    with pytest.raises(ContextMismatch, match=r"another stack: batch: 16 here, 8 there; threads: 4 here, 1 there\."):
        read_baseline(earlier, replace(context, batch=16, threads=4))


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"measured_latency_ms": "x", "context": {}}', '{"measured_latency_ms": 1}', "\x00"]
)
def test_what_is_no_baseline_is_refused(content: str, file: Path, config: Config, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(content)
    with pytest.raises(BadConfig, match=r"baseline\.json is no baseline"):
        check(config, file, None, path, Quiet())


@pytest.mark.parametrize("ms_written", [0.0, -1.0, float("nan"), float("inf")])
def test_a_latency_that_can_not_be_is_no_baseline(
    ms_written: float, file: Path, config: Config, tmp_path: Path
) -> None:
    with pytest.raises(BadConfig, match="is no latency"):
        check(config, file, None, baseline(tmp_path, file, config, ms_written), Quiet())


def test_nothing_to_check(file: Path, config: Config, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"nothing to check against\. Give --latency 17ms, or --baseline FILE"):
        check(config, file, None, None, Quiet())
    with pytest.raises(MissingStage, match=r"none\.onnx is not there\. Type nastool export"):
        check(config, tmp_path / "none.onnx", 1.0, None, Quiet())
    with pytest.raises(BadConfig, match="is no baseline"):
        check(config, file, None, tmp_path / "none.json", Quiet())
