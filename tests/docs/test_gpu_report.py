"""`make gpu`: how an item ends, and what the report says of it."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_report", FOLDER / "gpu_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "gpu_report", module)
        spec.loader.exec_module(module)
    return module


def ended(report: ModuleType, code: int, output: str, words: tuple[str, ...] = ("item.py",)) -> tuple[str, str]:
    result = report._ended(report.Item("item", words, 10), code, 1.0, output)
    return result.outcome, result.reason


def test_an_item_that_hangs_is_ended_at_its_limit(report: ModuleType) -> None:
    hangs = report.Item("hangs", ("-m", "timeit", "-n1", "-r1", "import time; time.sleep(60)"), 1.0)
    result = report.run(hangs, left_s=100.0)
    assert (result.outcome, result.reason) == ("out of time", "it ran for more than 1 s")
    assert report.run(hangs, left_s=0.0).reason == "the time limit of the report was reached before it"


def test_the_last_line_of_an_item_is_its_answer(report: ModuleType) -> None:
    assert ended(report, 0, 'warning: ...\n{"step_ms": 3.5}\n') == ("ran", "")
    assert ended(report, 0, '{"cannot_run": "pycuda is not installed"}') == ("cannot run", "pycuda is not installed")
    assert ended(report, 0, "nothing") == ("failed", "it gave no answer: nothing")
    assert ended(report, 1, "Traceback\nImportError: x") == ("failed", "Traceback\nImportError: x")


def test_skipped_tests_give_their_reasons_once(report: ModuleType) -> None:
    output = "SKIPPED [4] tests/a.py:5: no GPU\nSKIPPED [1] tests/b.py:9: no GPU\n2 passed, 5 skipped in 1.00s"
    result = report._ended(report.Item("tests", ("-m", "pytest"), 10), 0, 1.0, output)
    assert result.results == {"summary": "2 passed, 5 skipped in 1.00s", "skipped": {"no GPU": 2}}


def test_both_files_have_every_item(report: ModuleType, tmp_path: Path) -> None:
    results = [report.Result("one", "ran", 2.0, results={"ms": 1}), report.Result("two", "failed", 1.0, "why")]
    report.write_reports(tmp_path, results, 3.0)
    text, document = sorted(tmp_path.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert "== two\nfailed, 1 s: why" in text.read_text()
    assert [item["outcome"] for item in json.loads(document.read_text())["items"]] == ["ran", "failed"]
    assert text.stem == document.stem
    assert text.name.startswith("gpu__")


def test_the_limits_of_all_items_are_known_files(report: ModuleType) -> None:
    assert [item.name for item in report.ITEMS if item.words[0] != "-m" and not (FOLDER / item.words[0]).exists()] == []
    assert report.TOTAL_S < 600
