"""`check.json`: the last verdict on the exported network of a run, kept beside its manifest."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from toolchain.check.gate import Verdict
from toolchain.check.outcome import Outcome
from toolchain.export.manifest import Manifest
from toolchain.files import Document, Milliseconds, Share, Text, read_document, write_document
from toolchain.measuring.intervals import bounds
from toolchain.measuring.target_record import TargetRecord
from toolchain.runs import VERDICT, Run

REMEDY = "Remove it, or run nastool check again"


class FindingRecord(Document):
    """The verdict on one requirement, `budget` or `regression`, with a sentence that explains it."""

    about: str
    outcome: Outcome
    text: Text


class KeptVerdict(Document):
    """The content of check.json: what `nastool check --json` answers, without the rounds.

    Args:
        file: name of the checked file.
        sha256: its digest; a verdict on another file than that of the manifest does not count.
        measured_latency_ms: of a batch.
        latency_interval_ms: of the measured latency at `confidence`; None for an unknown bound. The lower one of a
            few noisy rounds can be negative.
        limit_ms: maximum latency of a batch; None if the file was only compared with a baseline.
        baseline: what the file was compared with; None if there was no baseline.
        checked_at: when the check ended.
        target: what was measured on.
    """

    schema_version: Literal[1] = 1
    verdict: Outcome
    file: Text
    sha256: str
    measured_latency_ms: Milliseconds
    latency_interval_ms: tuple[float | None, float | None]
    limit_ms: Milliseconds | None
    baseline: Text | None
    confidence: Share
    findings: Annotated[tuple[FindingRecord, ...], Field(min_length=1)]
    checked_at: AwareDatetime
    target: TargetRecord


def keep_verdict(run: Run, manifest: Manifest, verdict: Verdict) -> str:
    """Write the verdict on the export of `run` into check.json.

    Args:
        manifest: of the export, as it was when the check began.

    Returns:
        Why nothing was written: the check was on another target than the export. Empty if it was.

    Raises:
        RunFolderError: the file cannot be written; the earlier verdict stays.
    """
    if differences := _differences(verdict, manifest):
        return f"the export is for another target: {'; '.join(differences)}"
    judgment, requirements = verdict.judgment, verdict.requirements
    low, high = bounds(judgment.latency_ms)
    kept = KeptVerdict(
        verdict=verdict.outcome,
        file=verdict.file.name,
        sha256=manifest.files[run.onnx.name].sha256,
        measured_latency_ms=verdict.latency_ms,
        latency_interval_ms=(low, high),
        limit_ms=requirements.limit_ms,
        baseline=None if verdict.baseline is None else verdict.baseline.name,
        confidence=requirements.confidence,
        findings=tuple(FindingRecord(**vars(finding)) for finding in judgment.findings),
        checked_at=datetime.now(UTC).replace(microsecond=0),
        target=verdict.target,
    )
    write_document(run.verdict, kept)
    return ""


def read_verdict(folder: Path, manifest: Manifest) -> KeptVerdict | None:
    """The verdict on an export; None if there is none, or only one on an earlier file.

    Args:
        folder: of the export.

    Raises:
        BadDocument: check.json is damaged.
    """
    path = folder / VERDICT
    if not path.exists():
        return None
    kept = read_document(path, KeptVerdict, REMEDY)
    record = manifest.files.get(kept.file)
    return kept if record is not None and record.sha256 == kept.sha256 else None


def _differences(verdict: Verdict, manifest: Manifest) -> tuple[str, ...]:
    """The fields in which the targets differ; the precision follows from the file, whose digest is compared."""
    measured, exported = verdict.target, manifest.target
    return replace(measured, precision=exported.precision, compute_precision=exported.compute_precision).differences(
        exported
    )
