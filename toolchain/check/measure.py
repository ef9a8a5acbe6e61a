"""One measurement for a check: in this process, or in a fresh one.

A process has luck of its own, for as long as it lives: where its memory lies, and what its sessions share a cache with.
`python -m toolchain.check.measure` reads a `Request` from stdin and answers with a `Judged` on stdout, both as JSON.
"""

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic

from pydantic import TypeAdapter

from exporters.graph.precision import precision_of
from toolchain.check.judge import BASELINE, CANDIDATE, MOST_ROUNDS, Judged, Stored, Terms, settle
from toolchain.errors import Inconclusive
from toolchain.measuring.device_lock import device_lock
from toolchain.measuring.intervals import figure_of
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import TimedFile, time_rounds
from toolchain.measuring.target import ReadyTarget, TargetSpec, ready_target
from toolchain.progress import Progress, Quiet


@dataclass(frozen=True)
class Request:
    """What to time and what to ask of it: a file, and beside it another build, or an earlier measurement, or none."""

    spec: TargetSpec
    plan: MeasurementPlan
    db: str
    candidate: Path
    build: Path | None
    stored: Stored | None
    terms: Terms


def measure_here(request: Request, target: ReadyTarget, progress: Progress, title: str) -> Judged:
    """Time the files of `request` in interleaved rounds until its questions are answered.

    Raises:
        NotOnnx, BackendUnavailable: a file can't be run.
    """
    files = {CANDIDATE: TimedFile(request.candidate, target)}
    if request.build is not None:
        files[BASELINE] = TimedFile(request.build, target.for_precision(precision_of(request.build)))
    plan = replace(request.plan, rounds=MOST_ROUNDS)
    seconds = round(request.terms.max_seconds) or 1
    task, began, shown = progress.start(title, seconds), monotonic(), 0

    def tell(note: str) -> None:
        nonlocal shown
        now = min(seconds, int(monotonic() - began))
        task.advance(now - shown, note)
        shown = now

    with (
        device_lock(target.device, request.db, progress),  # before the time limit starts
        closing(time_rounds(files, plan, request.db, Quiet(), title)) as rounds,  # type: ignore[type-var]
    ):
        judged = settle(
            (round_ for _, round_ in rounds),
            request.terms,
            request.stored,
            figure_of(target.spec.threads, target.target.device_kind),
            tell=tell,
        )
    task.advance(seconds - shown)
    return judged


def measure_afresh(request: Request, progress: Progress, title: str) -> Judged:
    """The same in a process of its own, with another order of rounds.

    Raises:
        Inconclusive: the process didn't answer.
    """
    again = replace(request, plan=replace(request.plan, seed=request.plan.seed + 1))
    asked = TypeAdapter(Request).dump_json(again)
    progress.say(f"{title}, for up to {request.terms.max_seconds:g} s")
    answer = subprocess.run(
        [sys.executable, "-P", "-m", "toolchain.check.measure"], input=asked, capture_output=True, check=False
    )
    try:
        return TypeAdapter(Judged).validate_python(json.loads(answer.stdout))
    except ValueError:
        last = (answer.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise Inconclusive(
            f"the file failed, and the fresh process that was to confirm it ended with code {answer.returncode}: "
            f"{last}. Type the same again"
        ) from None


def main() -> None:
    """Read a request, answer with what was judged."""
    request = TypeAdapter(Request).validate_json(sys.stdin.buffer.read())
    judged = measure_here(request, ready_target(request.spec), Quiet(), "measure")
    sys.stdout.write(json.dumps(asdict(judged)))


if __name__ == "__main__":
    main()
