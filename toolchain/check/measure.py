"""One measurement of a check, in this process or in a fresh one.

Timing varies between processes (memory layout, shared caches), so a failure is confirmed in another process.
`python -m toolchain.check.measure` reads a `Request` from stdin and writes a `Judgment` to stdout, both as JSON.
"""

import json
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic

from pydantic import TypeAdapter

from exporters.graph.model import Model
from toolchain.check.evidence import BASELINE, CANDIDATE, StoredRounds
from toolchain.check.files import Candidate, build_file, candidate_file
from toolchain.check.judge import MAX_ROUNDS, judge_rounds
from toolchain.check.verdict import Judgment, Requirements
from toolchain.measuring.device_lock import device_lock
from toolchain.measuring.fresh_process import answer_of
from toolchain.measuring.intervals import latency_statistic
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import time_rounds
from toolchain.measuring.target_spec import TargetSpec
from toolchain.measuring.timed_file import TimedFile
from toolchain.progress import Progress, Quiet


@dataclass(frozen=True)
class Request:
    """A measurement and its requirements.

    Args:
        spec: the settings of the target of ONNX files; an engine has its own backend and device.
        build: another file that is timed in the same rounds, or None.
        stored: rounds of an earlier measurement to compare with, or None.
    """

    spec: TargetSpec
    plan: MeasurementPlan
    db: str
    candidate: Path
    build: Path | None
    stored: StoredRounds | None
    requirements: Requirements


def timed_files(candidate: Candidate, build: Model | None) -> dict[str, TimedFile]:
    """The files of a measurement, each on the target for its own precision.

    Raises:
        TargetMismatch, BackendUnavailable: `build` cannot be timed beside the candidate.
    """
    files = {CANDIDATE: candidate.timed}
    if build is not None:
        files[BASELINE] = build_file(build, candidate.target)
    return files


def request_files(request: Request) -> dict[str, TimedFile]:
    """The files of a request, in a process that has not looked up its target and parsed its files before."""
    build = None if request.build is None else Model(request.build)
    return timed_files(candidate_file(request.candidate, request.spec), build)


def measure_in_process(request: Request, files: Mapping[str, TimedFile], progress: Progress, title: str) -> Judgment:
    """Time the files of `request` in rounds until the result is conclusive or the time limit is reached.

    Raises:
        NotOnnx, BackendUnavailable: a file cannot be run.
    """
    target = files[CANDIDATE].target
    plan = replace(request.plan, rounds=MAX_ROUNDS)
    seconds = round(request.requirements.max_seconds) or 1
    task, start, shown = progress.start(title, seconds), monotonic(), 0

    def report(note: str) -> None:
        nonlocal shown
        elapsed = min(seconds, int(monotonic() - start))
        task.advance(elapsed - shown, note)
        shown = elapsed

    with (
        device_lock(target.device, request.db, progress),  # the time limit starts once the lock is held
        closing(time_rounds(files, plan, request.db, Quiet(), title)) as rounds,  # type: ignore[type-var]
    ):
        judgment = judge_rounds(
            (round_ for _, round_ in rounds),
            request.requirements,
            request.stored,
            latency_statistic(target.spec.threads, target.target.device_kind),
            report=report,
        )
    task.advance(seconds - shown)
    return judgment


def measure_in_fresh_process(request: Request, progress: Progress, title: str) -> Judgment:
    """The same measurement in a new process, with another order of the files in each round.

    Raises:
        Inconclusive: the process ended without a result.
    """
    reordered = replace(request, plan=replace(request.plan, seed=request.plan.seed + 1))
    progress.say(f"{title}, for up to {request.requirements.max_seconds:g} s")
    answer = answer_of("toolchain.check.measure", TypeAdapter(Request).dump_json(reordered), title)
    return TypeAdapter(Judgment).validate_python(answer)


def main() -> None:
    """Read a request from stdin and write its judgment to stdout."""
    request = TypeAdapter(Request).validate_json(sys.stdin.buffer.read())
    judgment = measure_in_process(request, request_files(request), Quiet(), "measure")
    sys.stdout.write(json.dumps(asdict(judgment)))


if __name__ == "__main__":
    main()
