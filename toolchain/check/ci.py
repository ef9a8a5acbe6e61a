"""A verdict for CI systems: JUnit XML, annotations of GitHub Actions, and Markdown for its job summary."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as Xml

from toolchain.check.gate import Verdict
from toolchain.check.outcome import Outcome
from toolchain.errors import exit_code
from toolchain.measuring.intervals import Interval
from toolchain.units import format_ms

CaseStatus = Literal["passed", "failure", "error", "skipped"]  # the terms of JUnit
OnInconclusive = Literal["fail", "warn", "pass"]
DEVICE_MISSING = 5
INCONCLUSIVE = 3
SUITE = "nastool check"


@dataclass(frozen=True)
class Case:
    """A test case of JUnit: one requirement and its verdict."""

    name: str
    status: CaseStatus
    text: str
    seconds: float = 0.0


def exit_code_of(verdict: Verdict, on_inconclusive: OnInconclusive) -> int:
    """0 for pass, 1 for fail, 3 for inconclusive unless that is configured to pass."""
    if verdict.outcome is Outcome.INCONCLUSIVE:
        return INCONCLUSIVE if on_inconclusive == "fail" else 0
    return int(verdict.outcome is Outcome.FAIL)


def cases_of(verdict: Verdict, on_inconclusive: OnInconclusive) -> tuple[Case, ...]:
    """One case for each finding."""
    statuses: Mapping[Outcome, CaseStatus] = {
        Outcome.PASS: "passed",
        Outcome.FAIL: "failure",
        Outcome.INCONCLUSIVE: "error" if on_inconclusive == "fail" else "skipped",
    }
    findings = verdict.judgment.findings
    seconds = verdict.judgment.seconds / len(findings)
    return tuple(Case(finding.about, statuses[finding.outcome], finding.text, seconds) for finding in findings)


def case_of_error(problem: Exception) -> Case:
    """The case of a check that could not run: skipped if the device or its runtime is missing, else an error."""
    return Case("check", "skipped" if exit_code(problem) == DEVICE_MISSING else "error", str(problem))


def junit(cases: Iterable[Case], file: str) -> bytes:
    """JUnit XML, which Jenkins, GitLab and report actions of GitHub read."""
    cases = tuple(cases)
    counts = {status: sum(case.status == status for case in cases) for status in ("failure", "error", "skipped")}
    suite = Xml.Element(
        "testsuite",
        name=SUITE,
        tests=str(len(cases)),
        failures=str(counts["failure"]),
        errors=str(counts["error"]),
        skipped=str(counts["skipped"]),
        time=f"{sum(case.seconds for case in cases):.3f}",
    )
    for case in cases:
        element = Xml.SubElement(
            suite, "testcase", classname=_xml_text(file), name=case.name, time=f"{case.seconds:.3f}"
        )
        if case.status == "passed":
            Xml.SubElement(element, "system-out").text = _xml_text(case.text)
        else:
            Xml.SubElement(element, case.status, message=_xml_text(case.text))
    suites = Xml.Element("testsuites")
    suites.append(suite)
    Xml.indent(suites)
    return bytes(Xml.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def annotations(cases: Iterable[Case], on_inconclusive: OnInconclusive) -> tuple[str, ...]:
    """Workflow commands of GitHub Actions, one line for each case that did not pass."""
    lines = []
    for case in cases:
        level = {"passed": "", "failure": "error", "error": "error", "skipped": "warning"}[case.status]
        if level and not (case.status == "skipped" and on_inconclusive == "pass"):
            message = case.text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            lines.append(f"::{level} title={SUITE} ({case.name})::{message}")
    return tuple(lines)


def markdown(verdict: Verdict) -> str:
    """A section for a job summary."""
    judgment, baseline = verdict.judgment, verdict.baseline
    rows = [("file", f"`{verdict.file}`"), ("measured", _with_bounds(judgment.latency_ms, format_ms))]
    if verdict.requirements.limit_ms is not None:
        rows.append(("budget", format_ms(verdict.requirements.limit_ms)))
    if judgment.ratio is not None and baseline is not None and judgment.baseline_ms is not None:
        rows += [
            (f"baseline `{baseline.name}`", format_ms(judgment.baseline_ms)),
            ("ratio", _with_bounds(judgment.ratio, "{:.3f}".format)),
            ("allowed", f"{1 + verdict.requirements.max_regression:.3f}"),
        ]
    target = verdict.target
    rows += [
        ("rounds", f"{len(judgment.rounds)} in {judgment.seconds:.0f} s, {len(judgment.noisy_rounds)} noisy"),
        ("target", f"{target.device_model}, {target.backend} {target.backend_version}, batch {target.batch}"),
    ]
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    findings = "\n".join(f"- **{finding.outcome.value}**: {finding.text}" for finding in judgment.findings)
    return f"### {SUITE}: {verdict.outcome.value}\n\n{findings}\n\n| | |\n|---|---|\n{table}\n\n"


def markdown_of_error(problem: Exception) -> str:
    """The same for a check that could not run."""
    return f"### {SUITE}: {case_of_error(problem).status}\n\n{problem}\n\n"


def append(path: Path, text: str) -> None:
    """Append to a file that other programs write to as well.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def _with_bounds(interval: Interval, format_value: Callable[[float], str]) -> str:
    text = format_value(interval.middle)
    return (
        text
        if interval.high == float("inf")
        else f"{text} ({format_value(interval.low)} to {format_value(interval.high)})"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _xml_text(text: str) -> str:
    """Replace control characters, which XML 1.0 does not allow and a file name may contain."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)
