"""A verdict in the words of others: JUnit XML, GitHub's annotations, and Markdown for its job summary."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as Xml

from toolchain.check.gate import Verdict
from toolchain.check.judge import Outcome
from toolchain.errors import exit_code
from toolchain.measuring.intervals import Interval
from toolchain.units import format_ms

Kind = Literal["passed", "failure", "error", "skipped"]  # JUnit's words
OnInconclusive = Literal["fail", "warn", "pass"]
DEVICE_MISSING = 5
INCONCLUSIVE = 3
SUITE = "nastool check"


@dataclass(frozen=True)
class Case:
    """One question and its answer, as JUnit counts them."""

    name: str
    kind: Kind
    text: str
    seconds: float = 0.0


def exit_code_of(verdict: Verdict, on_inconclusive: OnInconclusive) -> int:
    """0, 1, or 3 where there is no answer and that is not to pass."""
    if verdict.outcome is Outcome.INCONCLUSIVE:
        return INCONCLUSIVE if on_inconclusive == "fail" else 0
    return int(verdict.outcome is Outcome.FAIL)


def cases_of(verdict: Verdict, on_inconclusive: OnInconclusive) -> tuple[Case, ...]:
    """One case a question."""
    kinds: Mapping[Outcome, Kind] = {
        Outcome.PASS: "passed",
        Outcome.FAIL: "failure",
        Outcome.INCONCLUSIVE: "error" if on_inconclusive == "fail" else "skipped",
    }
    found = verdict.judged.findings
    seconds = verdict.judged.seconds / len(found)
    return tuple(Case(finding.about, kinds[finding.outcome], finding.text, seconds) for finding in found)


def case_of_error(problem: Exception) -> Case:
    """What a check that could not be done is: skipped where the device or its runtime is missing, else an error."""
    return Case("check", "skipped" if exit_code(problem) == DEVICE_MISSING else "error", str(problem))


def junit(cases: Iterable[Case], file: str) -> bytes:
    """JUnit XML, as Jenkins, GitLab and GitHub's report actions read it."""
    cases = tuple(cases)
    counts = {kind: sum(case.kind == kind for case in cases) for kind in ("failure", "error", "skipped")}
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
        told = Xml.SubElement(suite, "testcase", classname=_xml_text(file), name=case.name, time=f"{case.seconds:.3f}")
        if case.kind == "passed":
            Xml.SubElement(told, "system-out").text = _xml_text(case.text)
        else:
            Xml.SubElement(told, case.kind, message=_xml_text(case.text))
    suites = Xml.Element("testsuites")
    suites.append(suite)
    Xml.indent(suites)
    return bytes(Xml.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def annotations(cases: Iterable[Case], on_inconclusive: OnInconclusive) -> tuple[str, ...]:
    """GitHub's workflow commands, a line each, for what did not pass."""
    told = []
    for case in cases:
        level = {"passed": "", "failure": "error", "error": "error", "skipped": "warning"}[case.kind]
        if level and not (case.kind == "skipped" and on_inconclusive == "pass"):
            message = case.text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            told.append(f"::{level} title={SUITE} ({case.name})::{message}")
    return tuple(told)


def markdown(verdict: Verdict) -> str:
    """A section for a job summary."""
    judged, baseline = verdict.judged, verdict.baseline
    rows = [("file", f"`{verdict.file}`"), ("measured", _with_ends(judged.latency_ms, format_ms))]
    if verdict.terms.limit_ms is not None:
        rows.append(("budget", format_ms(verdict.terms.limit_ms)))
    if judged.ratio is not None and baseline is not None and judged.baseline_ms is not None:
        rows += [
            (f"baseline `{baseline.name}`", format_ms(judged.baseline_ms)),
            ("ratio", _with_ends(judged.ratio, "{:.3f}".format)),
            ("allowed", f"{1 + verdict.terms.slack:.3f}"),
        ]
    target = verdict.target
    rows += [
        ("rounds", f"{len(judged.rounds)} in {judged.seconds:.0f} s, {len(judged.noisy_rounds)} noisy"),
        ("target", f"{target.device_model}, {target.backend} {target.backend_version}, batch {target.batch}"),
    ]
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    said = "\n".join(f"- **{finding.outcome.value}**: {finding.text}" for finding in judged.findings)
    return f"### {SUITE}: {verdict.outcome.value}\n\n{said}\n\n| | |\n|---|---|\n{table}\n\n"


def markdown_of_error(problem: Exception) -> str:
    """The same for a check that could not be done."""
    return f"### {SUITE}: {case_of_error(problem).kind}\n\n{problem}\n\n"


def append(path: Path, text: str) -> None:
    """Add to a file that others write to as well.

    Raises:
        OSError: it can't be written.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def _with_ends(interval: Interval, shown: Callable[[float], str]) -> str:
    text = shown(interval.middle)
    return text if interval.high == float("inf") else f"{text} ({shown(interval.low)} to {shown(interval.high)})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _xml_text(text: str) -> str:
    """XML 1.0 has no control characters, and a file's name may have them."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)
