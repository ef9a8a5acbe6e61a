"""What a check requires of a file, from the configuration and from the manifest of a run's export."""

from dataclasses import dataclass
from pathlib import Path

from toolchain.check.verdict import Requirements
from toolchain.config import CheckConfig
from toolchain.errors import BadConfig
from toolchain.export.manifest import Manifest
from toolchain.runs import Run
from toolchain.units import parse_percent


@dataclass(frozen=True)
class CheckedFile:
    """A file to check and its latency budget.

    Args:
        limit_ms: maximum latency of a batch in ms; None if there is no latency budget.
        anchor_ms: latency of the anchor network when the budget was met, or None if unknown.
    """

    path: Path
    limit_ms: float | None = None
    anchor_ms: float | None = None


def exported_file(run: Run, manifest: Manifest, batch: int, limit_ms: float | None) -> CheckedFile:
    """The exported file of `run` with the budget `limit_ms`, or with the budget that the run was searched for.

    Args:
        manifest: of the export.

    Raises:
        BadConfig: the run's budget is an estimate, or for another batch.
    """
    searched_ms = manifest.limits.get("latency_ms")
    if limit_ms is not None or searched_ms is None:
        return CheckedFile(run.onnx, limit_ms)
    if manifest.estimate:
        raise BadConfig(
            f"the budget in {run.manifest} is for estimated latencies, so nothing measured here can be compared with "
            f"it. Give a budget for this device with --latency"
        )
    searched_batch = manifest.target.batch
    if searched_batch != batch:
        raise BadConfig(
            f"the budget in {run.manifest} is for batches of {searched_batch}, not of {batch}. "
            f"Give --batch {searched_batch}, or a budget for {batch} with --latency"
        )
    return CheckedFile(run.onnx, searched_ms, manifest.measured_anchor_ms)


def requirements_of(config: CheckConfig, checked: CheckedFile) -> Requirements:
    """The requirements of a file, with the limits in the configuration.

    Raises:
        BadUnit: a percentage cannot be parsed.
        BadConfig: the confidence is out of range.
    """
    regression, confidence = (
        parse_percent(config.max_regression, "--max-regression 5%"),
        parse_confidence(config.confidence),
    )
    return Requirements(checked.limit_ms, regression, confidence, config.max_seconds, checked.anchor_ms)


def parse_confidence(text: str) -> float:
    """`99%` -> 0.99.

    Raises:
        BadUnit: the text is not a percentage.
        BadConfig: it is out of range.
    """
    confidence = parse_percent(text, "99%")
    if not 0.5 <= confidence <= 0.9999:
        raise BadConfig(f"a confidence of {text} is out of range. Give one from 50% to 99.99%, e.g. 99%")
    return confidence
