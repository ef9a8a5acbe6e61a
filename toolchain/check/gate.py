"""`nastool check`: does the file still fit its budget, and is it as quick as before?"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exporters.graph.graph_hash import graph_hash
from exporters.graph.precision import precision_of
from latency_db.target import Target
from toolchain.check.baseline import SCHEMA_VERSION, Baseline, find_baseline
from toolchain.check.judge import Judged, Outcome, Terms
from toolchain.check.measure import Request, measure_afresh, measure_here
from toolchain.config import Config
from toolchain.errors import BadConfig
from toolchain.measuring.from_config import measurement_plan, require_target
from toolchain.measuring.intervals import ends, least_rounds
from toolchain.measuring.model_inputs import require_batch
from toolchain.measuring.target import for_own_precision
from toolchain.progress import Progress
from toolchain.units import parse_percent


@dataclass(frozen=True)
class Verdict:
    """What was measured, and what is wrong with it, if anything.

    Args:
        first: the measurement of this process; None where no failure had to be confirmed.
        judged: the measurement that counts: the fresh process's, where there was one.
    """

    file: Path
    graph_hash: str
    terms: Terms
    baseline: Baseline | None
    first: Judged | None
    judged: Judged
    target: Target

    @property
    def outcome(self) -> Outcome:
        return self.judged.outcome

    @property
    def latency_ms(self) -> float:
        return self.judged.latency_ms.middle

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong or unclear, a sentence each."""
        return tuple(finding.text for finding in self.judged.findings if finding.outcome is not Outcome.PASS)

    def as_dict(self) -> dict[str, Any]:
        """The content of a baseline file, and of --json; ends of intervals that are unknown are null."""
        judged, terms = self.judged, self.terms
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.outcome.value,
            "passed": self.outcome is Outcome.PASS,
            "file": str(self.file),
            "graph_hash": self.graph_hash,
            "measured_latency_ms": self.latency_ms,
            "latency_interval_ms": ends(judged.latency_ms),
            "limit_ms": terms.limit_ms,
            "baseline": None if self.baseline is None else self.baseline.name,
            "baseline_ms": judged.baseline_ms,
            "ratio": None if judged.ratio is None else judged.ratio.middle,
            "ratio_interval": None if judged.ratio is None else ends(judged.ratio),
            "max_regression": terms.slack,
            "confidence": terms.confidence,
            "findings": [vars(finding) for finding in judged.findings],
            "problems": list(self.problems),
            "confirmed_in_a_fresh_process": self.first is not None,
            "seconds": judged.seconds,
            "noisy_rounds": list(judged.noisy_rounds),
            "rounds_ms": [list(round_) for round_ in judged.rounds],
            "target": self.target.as_dict(),
        }


def check(
    config: Config,
    file: Path,
    limit_ms: float | None,
    baseline: Path | None,
    progress: Progress,
    anchor_ms: float | None = None,
) -> Verdict:
    """Measure `file` against a limit in ms, and against another build or an earlier measurement.

    A failure is measured anew in a fresh process, and that measurement decides.

    Args:
        anchor_ms: what the anchor network took when the limit was met, if that is known.

    Raises:
        MissingStage, NotOnnx, BadModel: there is no such file, or it can't be timed at this batch.
        BadConfig: the baseline is none, neither a limit nor a baseline was given, or the device is an estimate.
        TargetMismatch: the baseline was measured on another target; the fields are named.
        BackendUnavailable, DeviceMissing: there is nothing to measure on.
        MissingLatency, LatencyDbError: the table has no such measurement, or can't be used.
        Inconclusive: the fresh process didn't answer.
    """
    if limit_ms is None and baseline is None:
        raise BadConfig("there is nothing to check against. Give --latency 17ms, or --baseline FILE, or both")
    terms = replace(terms_of(config, limit_ms), anchor_ms=anchor_ms)
    if config.profile.estimate:
        raise BadConfig(
            f"a check measures, and {config.profile.device} is only estimated here. Take estimate = true out of "
            f"nastool.toml, or check where the device is"
        )
    require_batch(file, config.profile.batch)
    instead = "Check the fp32 file here, and this one on a GPU (--device gpu0)"
    ready = for_own_precision(require_target(config.profile, "fp32"), precision_of(file), file, instead)
    compared = None if baseline is None else find_baseline(baseline, config.profile.db, graph_hash(file), ready.target)
    if compared and compared.build:
        require_batch(compared.build, config.profile.batch)
        instead = "Compare with an fp32 file, or on a GPU (--device gpu0)"
        for_own_precision(ready, precision_of(compared.build), compared.build, instead)
    if compared and compared.stored:
        _require_rounds(compared.name, len(compared.stored), terms.confidence)
    request = Request(
        spec=ready.spec,
        plan=measurement_plan(config),
        db=config.profile.db,
        candidate=file,
        build=compared.build if compared else None,
        stored=compared.stored if compared else None,
        terms=terms,
    )
    judged, first = measure_here(request, ready, progress, "measure"), None
    if judged.outcome is Outcome.FAIL:
        judged, first = measure_afresh(request, progress, "it failed: measure anew in a fresh process"), judged
    return Verdict(file, graph_hash(file), terms, compared, first, judged, ready.target)


def _require_rounds(name: str, rounds: int, confidence: float) -> None:
    needed = least_rounds((1 - confidence) / 2)  # half of the error is the baseline's (judge.ratio_to_stored)
    if rounds < needed:
        raise BadConfig(
            f"the baseline {name} has {rounds} rounds, and {needed} are needed at a confidence of "
            f"{confidence * 100:.4g} %. Give a lower --confidence, or a baseline that was measured for longer"
        )


def terms_of(config: Config, limit_ms: float | None) -> Terms:
    """What the configuration asks of a file.

    Raises:
        BadUnit: a percentage can't be read.
        BadConfig: the confidence is none.
    """
    asked, confidence = config.check, parse_percent(config.check.confidence)
    if not 0.5 <= confidence <= 0.9999:
        raise BadConfig(f"a confidence of {asked.confidence} can't be had. Write one of 50% to 99.99%, as 99%")
    return Terms(limit_ms, parse_percent(asked.max_regression), confidence, asked.max_seconds)
