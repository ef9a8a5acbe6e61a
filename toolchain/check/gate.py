"""`nastool check`: does a file still fit its budget, and is it as fast as before?"""

from dataclasses import dataclass
from pathlib import Path

from latency_db.target import Target
from toolchain.check.baseline import SCHEMA_VERSION, Baseline, find_baseline
from toolchain.check.evidence import StoredRounds
from toolchain.check.files import candidate_file
from toolchain.check.measure import Request, measure_in_fresh_process, measure_in_process, timed_files
from toolchain.check.outcome import Outcome
from toolchain.check.requirements import CheckedFile, requirements_of
from toolchain.check.verdict import Judgment, Requirements
from toolchain.config import Config
from toolchain.errors import BadConfig
from toolchain.measuring.from_config import measurement_plan, target_spec
from toolchain.measuring.intervals import bounds, min_rounds
from toolchain.measuring.target import ReadyTarget
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Progress


@dataclass(frozen=True)
class Verdict:
    """The result of a check.

    Args:
        graph_hash: of an engine that of its ONNX file, or None if that is unknown.
        first: the measurement in this process; None if there was no failure to confirm.
        judgment: the measurement that counts: that of the fresh process, if there was one.
    """

    file: Path
    graph_hash: str | None
    requirements: Requirements
    baseline: Baseline | None
    first: Judgment | None
    judgment: Judgment
    target: Target

    @property
    def outcome(self) -> Outcome:
        return self.judgment.outcome

    @property
    def latency_ms(self) -> float:
        return self.judgment.latency_ms.middle

    @property
    def problems(self) -> tuple[str, ...]:
        """What failed or is inconclusive, a sentence each."""
        return tuple(finding.text for finding in self.judgment.findings if finding.outcome is not Outcome.PASS)

    def as_dict(self) -> dict[str, object]:
        """The content of --json, which is also that of a baseline file; unknown bounds of intervals are null."""
        judgment, requirements = self.judgment, self.requirements
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.outcome.value,
            "passed": self.outcome is Outcome.PASS,
            "file": str(self.file),
            "graph_hash": self.graph_hash,
            "measured_latency_ms": self.latency_ms,
            "latency_interval_ms": bounds(judgment.latency_ms),
            "limit_ms": requirements.limit_ms,
            "baseline": None if self.baseline is None else self.baseline.name,
            "baseline_ms": judgment.baseline_ms,
            "ratio": None if judgment.ratio is None else judgment.ratio.middle,
            "ratio_interval": None if judgment.ratio is None else bounds(judgment.ratio),
            "max_regression": requirements.max_regression,
            "confidence": requirements.confidence,
            "findings": [vars(finding) for finding in judgment.findings],
            "problems": list(self.problems),
            "confirmed_in_a_fresh_process": self.first is not None,
            "seconds": judgment.seconds,
            "noisy_rounds": list(judgment.noisy_rounds),
            "rounds_ms": [list(round_) for round_ in judgment.rounds],
            "target": self.target.as_dict(),
        }


def check(
    config: Config,
    checked: CheckedFile,
    baseline: Path | None,
    progress: Progress,
    target: ReadyTarget | None = None,
) -> Verdict:
    """Measure a file, ONNX or an engine, against its limit, and against another build or an earlier measurement.

    A failure is confirmed by a measurement in a fresh process, which decides.

    Args:
        target: the fp32 target if it is resolved already; default: that of the configuration.

    Raises:
        MissingStage, NotOnnx, BadModel, EngineFailed: the file does not exist, or cannot be timed at this batch.
        BadConfig: the baseline is invalid, neither a limit nor a baseline is given, or the device is an estimate.
        TargetMismatch: the baseline was measured on another target, whose fields are listed, or runs on another device.
        BackendUnavailable, DeviceMissing: the device or its runtime is not available.
        MissingLatency, LatencyDbError: the table has no such measurement, or cannot be used.
        Inconclusive: the fresh process ended without a result.
    """
    if checked.limit_ms is None and baseline is None:
        raise BadConfig("there is nothing to check against. Give --latency 17ms, or --baseline FILE, or both")
    requirements = requirements_of(config.check, checked)
    spec, db = target.spec if target else target_spec(config.profile), config.profile.db
    _require_measured(spec)
    candidate = candidate_file(checked.path, spec, target)
    measured_on = candidate.target.target
    compared = None if baseline is None else find_baseline(baseline, db, candidate.graph_hash, measured_on)
    if compared is not None and compared.stored is not None:
        _require_enough_rounds(compared.name, compared.stored, requirements.confidence)
    request = Request(
        spec=spec,
        plan=measurement_plan(config),
        db=db,
        candidate=checked.path,
        build=compared.build.path if compared and compared.build else None,
        stored=compared.stored if compared else None,
        requirements=requirements,
    )
    files = timed_files(candidate, compared.build if compared else None)
    judgment, first = measure_in_process(request, files, progress, "measure"), None
    if judgment.outcome is Outcome.FAIL:
        title = "the check failed: measuring again in a fresh process"
        judgment, first = measure_in_fresh_process(request, progress, title), judgment
    return Verdict(checked.path, candidate.graph_hash, requirements, compared, first, judgment, measured_on)


def _require_measured(spec: TargetSpec) -> None:
    if spec.estimate:
        raise BadConfig(
            f"nastool check measures, and {spec.device} would only be estimated. Remove estimate = true from "
            f"nastool.toml, or run this where the device is attached"
        )


def _require_enough_rounds(name: str, stored: StoredRounds, confidence: float) -> None:
    needed = min_rounds((1 - confidence) / 2)  # half of the error is the baseline's (judge.ratio_to_stored)
    if len(stored) < needed:
        raise BadConfig(
            f"the baseline {name} has {len(stored)} rounds, and {needed} are needed at a confidence of "
            f"{confidence * 100:.4g} %. Give a lower --confidence, or a baseline with more rounds"
        )
