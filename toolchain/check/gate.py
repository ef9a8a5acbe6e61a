"""`nastool check`: does a file still fit its budget, and is it as fast as before?"""

from dataclasses import dataclass
from pathlib import Path

from exporters.graph.model import Model
from latency_db.target import Target
from toolchain.check.baseline import SCHEMA_VERSION, Baseline, find_baseline
from toolchain.check.measure import Request, measure_in_fresh_process, measure_in_process, timed_files
from toolchain.check.requirements import CheckedFile, requirements_of
from toolchain.check.verdict import Judgment, Outcome, Requirements
from toolchain.config import Config
from toolchain.errors import BadConfig
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.intervals import bounds, min_rounds
from toolchain.measuring.model_inputs import require_batch
from toolchain.measuring.target import ReadyTarget, for_own_precision
from toolchain.progress import Progress


@dataclass(frozen=True)
class Verdict:
    """The result of a check.

    Args:
        first: the measurement in this process; None if there was no failure to confirm.
        judgment: the measurement that counts: that of the fresh process, if there was one.
    """

    file: Path
    graph_hash: str
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
    """Measure a file against its limit, and against another build or an earlier measurement.

    A failure is confirmed by a measurement in a fresh process, which decides.

    Args:
        target: the fp32 target if it is resolved already; default: that of the configuration.

    Raises:
        MissingStage, NotOnnx, BadModel: the file does not exist, or cannot be timed at this batch.
        BadConfig: the baseline is invalid, neither a limit nor a baseline is given, or the device is an estimate.
        TargetMismatch: the baseline was measured on another target; the fields are listed.
        BackendUnavailable, DeviceMissing: the device or its runtime is not available.
        MissingLatency, LatencyDbError: the table has no such measurement, or cannot be used.
        Inconclusive: the fresh process ended without a result.
    """
    if checked.limit_ms is None and baseline is None:
        raise BadConfig("there is nothing to check against. Give --latency 17ms, or --baseline FILE, or both")
    requirements = requirements_of(config.check, checked)
    model = Model(checked.path)
    target = _target(config, model, target)
    batch, db = config.profile.batch, config.profile.db
    compared = None if baseline is None else find_baseline(baseline, db, model.graph_hash, target.target)
    if compared is not None:
        _require_comparable(compared, target, batch, requirements.confidence)
    request = Request(
        spec=target.spec,
        plan=measurement_plan(config),
        db=db,
        candidate=checked.path,
        build=compared.build.path if compared and compared.build else None,
        stored=compared.stored if compared else None,
        requirements=requirements,
    )
    files = timed_files(target, model, compared.build if compared else None)
    judgment, first = measure_in_process(request, files, progress, "measure"), None
    if judgment.outcome is Outcome.FAIL:
        title = "the check failed: measuring again in a fresh process"
        judgment, first = measure_in_fresh_process(request, progress, title), judgment
    return Verdict(checked.path, model.graph_hash, requirements, compared, first, judgment, target.target)


def _target(config: Config, model: Model, target: ReadyTarget | None) -> ReadyTarget:
    """The target for the precision of `model`."""
    if config.profile.estimate:
        raise BadConfig(
            f"nastool check measures, and {config.profile.device} would only be estimated. Remove estimate = true "
            f"from nastool.toml, or run this where the device is attached"
        )
    require_batch(model, config.profile.batch)
    instead = "Check the fp32 file here, and this one on a GPU (--device gpu0)"
    return for_own_precision(target or require_target(config.profile, "fp32"), model.precision, model.path, instead)


def _require_comparable(baseline: Baseline, target: ReadyTarget, batch: int, confidence: float) -> None:
    """Refuse a baseline that cannot be measured here, or has too few rounds."""
    if baseline.build is not None:
        require_batch(baseline.build, batch)
        instead = "Compare with an fp32 file, or on a GPU (--device gpu0)"
        for_own_precision(target, baseline.build.precision, baseline.build.path, instead)
    if baseline.stored is not None:
        needed = min_rounds((1 - confidence) / 2)  # half of the error is the baseline's (judge.ratio_to_stored)
        if len(baseline.stored) < needed:
            raise BadConfig(
                f"the baseline {baseline.name} has {len(baseline.stored)} rounds, and {needed} are needed at a "
                f"confidence of {confidence * 100:.4g} %. Give a lower --confidence, or a baseline with more rounds"
            )
