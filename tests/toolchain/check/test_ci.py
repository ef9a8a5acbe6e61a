"""What other programs read of a verdict."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from exporters.errors import BackendUnavailable
from latency_db.errors import TargetMismatch
from toolchain.check import ci
from toolchain.check.gate import Verdict, check
from toolchain.check.outcome import Outcome
from toolchain.check.requirements import CheckedFile
from toolchain.check.verdict import Finding
from toolchain.config import Config
from toolchain.progress import Quiet


@pytest.fixture
def passed(file: Path, config: Config, ms: float) -> Verdict:
    return check(config, CheckedFile(file, ms), file, Quiet())


def with_outcome(verdict: Verdict, outcome: Outcome) -> Verdict:
    findings = (Finding("budget", Outcome.PASS, "within"), Finding("regression", outcome, "5% <slower> & more\nthan |"))
    return replace(verdict, judgment=replace(verdict.judgment, findings=findings))


@pytest.mark.parametrize(
    ("outcome", "on_inconclusive", "code", "tag", "level"),
    [
        (Outcome.PASS, "fail", 0, None, None),
        (Outcome.FAIL, "pass", 1, "failure", "error"),
        (Outcome.INCONCLUSIVE, "fail", 3, "error", "error"),
        (Outcome.INCONCLUSIVE, "warn", 0, "skipped", "warning"),
        (Outcome.INCONCLUSIVE, "pass", 0, "skipped", None),
    ],
)
def test_three_verdicts(
    outcome: Outcome,
    on_inconclusive: ci.OnInconclusive,
    code: int,
    tag: str | None,
    level: str | None,
    passed: Verdict,
) -> None:
    verdict = with_outcome(passed, outcome)
    assert ci.exit_code_of(verdict, on_inconclusive) == code
    cases = ci.cases_of(verdict, on_inconclusive)
    suite = Xml.fromstring(ci.junit(cases, "model.onnx"))[0]
    assert suite.attrib["tests"] == "2"
    counts = {kind: int(suite.attrib[kind]) for kind in ("failures", "errors", "skipped")}
    assert sum(counts.values()) == (tag is not None)
    budget, regression = suite
    assert (budget.attrib["name"], regression.attrib["name"]) == ("budget", "regression")
    if tag:
        (element,) = regression
        assert element.tag == tag
        assert element.attrib["message"] == "5% <slower> & more\nthan |"
    lines = ci.annotations(cases, on_inconclusive)
    expected = f"::{level} title=nastool check (regression)::5%25 <slower> & more%0Athan |"
    assert lines == ((expected,) if level else ())


def test_a_missing_device_is_skipped_and_other_errors_are_errors() -> None:
    assert ci.case_of_error(BackendUnavailable("no GPU")).status == "skipped"
    case = ci.case_of_error(TargetMismatch("batch: 8 here, 32 there"))
    assert case.status == "error"
    (suite,) = Xml.fromstring(ci.junit([case], "x\x01.onnx"))
    assert (suite.attrib["errors"], suite.attrib["skipped"]) == ("1", "0")


def test_markdown_has_the_figures(passed: Verdict) -> None:
    text = ci.markdown(passed)
    assert text.startswith("### nastool check: pass\n")
    assert "- **pass**: within the budget" in text
    assert "| ratio | 1.000 (1.000 to 1.000) |" in text
    assert "fake 1, batch 8" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {3}


def test_a_summary_is_added_to(tmp_path: Path, passed: Verdict) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    ci.append(path, ci.markdown(passed))
    assert path.read_text() == "before\n" + ci.markdown(passed)
