"""`nastool check`: does the exported file still fit its budget, and is it as quick as before?"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency_db.context import Context
from latency_db.errors import ContextMismatch
from toolchain.config import Config
from toolchain.errors import BadConfig, MissingStage
from toolchain.profiling.measure import measure
from toolchain.profiling.stack import context_of
from toolchain.progress import Progress
from toolchain.units import format_ms, parse_percent

CONFIRMATIONS = 2  # a failure counts only if it is measured again and again


@dataclass(frozen=True)
class Verdict:
    """What was measured, and what is wrong with it, if anything."""

    latency_ms: float
    limit_ms: float | None
    baseline_ms: float | None
    problems: tuple[str, ...]
    context: Context

    def as_dict(self) -> dict[str, Any]:
        """The content of a baseline file, and of --json."""
        return {
            "passed": not self.problems,
            "measured_latency_ms": self.latency_ms,
            "limit_ms": self.limit_ms,
            "baseline_ms": self.baseline_ms,
            "problems": list(self.problems),
            "context": self.context.as_dict(),
        }


def check(config: Config, file: Path, limit_ms: float | None, baseline: Path | None, progress: Progress) -> Verdict:
    """Measure `file` against a limit in ms and against an earlier measurement.

    What fails is measured again before it counts, since a busy machine only ever makes a file look slower.

    Raises:
        MissingStage: no such file.
        BadConfig: the baseline is none, or neither a limit nor a baseline was given.
        ContextMismatch: the baseline was measured on another stack; the fields are named.
    """
    if not file.exists():
        raise MissingStage(f"{file} is not there. Type nastool export first, or name an ONNX file")
    if limit_ms is None and baseline is None:
        raise BadConfig("there is nothing to check against. Give --latency 17ms, or --baseline FILE, or both")
    context = context_of(config.profile)
    if context.estimate:
        raise BadConfig(
            f"a check measures, and {config.profile.device} is only estimated here. Take estimate = true out of "
            f"nastool.toml, or check where the device is"
        )
    baseline_ms = read_baseline(baseline, context) if baseline else None
    slack = parse_percent(config.check.max_regression)
    best_ms = float("inf")
    for attempt in range(1 + CONFIRMATIONS):
        title = "measure" if attempt == 0 else f"measure again ({attempt} of {CONFIRMATIONS})"
        found = measure({"model": file}, config.profile, config.seed + attempt, progress, title)["model"]
        best_ms = min(best_ms, found)
        problems = _problems(best_ms, limit_ms, baseline_ms, slack)
        if not problems:
            break
    return Verdict(best_ms, limit_ms, baseline_ms, problems, context)


def read_baseline(path: Path, context: Context) -> float:
    """The latency in ms of an earlier `nastool check --json`, if it was measured on the same stack.

    Raises:
        BadConfig: the file is not there or is no baseline.
        ContextMismatch: it was measured on another stack.
    """
    try:
        content = json.loads(path.read_text())
        latency_ms, earlier = float(content["measured_latency_ms"]), Context.from_dict(content["context"])
        if not 0 < latency_ms < float("inf"):
            raise ValueError(f"{latency_ms} ms is no latency")
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BadConfig(
            f"{path} is no baseline ({type(problem).__name__}: {problem}). "
            f"Write one with nastool check --latency ... --json > {path}"
        ) from None
    if differences := context.differences(earlier):
        raise ContextMismatch(
            f"the baseline {path} was measured on another stack: {'; '.join(differences)}. "
            f"Measure a baseline on this one with nastool check --latency ... --json > {path}"
        )
    return latency_ms


def _problems(latency_ms: float, limit_ms: float | None, baseline_ms: float | None, slack: float) -> tuple[str, ...]:
    problems = []
    if limit_ms is not None and latency_ms > limit_ms:
        problems.append(f"over the budget: {format_ms(latency_ms)} measured, {format_ms(limit_ms)} allowed")
    if baseline_ms is not None and latency_ms > baseline_ms * (1 + slack):
        problems.append(
            f"slower than the baseline by {latency_ms / baseline_ms - 1:.1%}: {format_ms(latency_ms)} measured, "
            f"{format_ms(baseline_ms)} before, {slack:.1%} allowed"
        )
    return tuple(problems)
