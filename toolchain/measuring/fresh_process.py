"""Measurements in a separate process: timing varies between processes (memory layout, shared caches).

`python -m toolchain.measuring.fresh_process` reads a `FileRequest` from stdin and writes a `Summary` to stdout, both
as JSON.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from exporters.graph.model import Model
from latency_db.table import Summary
from toolchain.errors import Inconclusive
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.rounds import summarize_files
from toolchain.measuring.target import ready_target
from toolchain.measuring.target_spec import TargetSpec
from toolchain.progress import Progress, Quiet


@dataclass(frozen=True)
class FileRequest:
    """A file, and what it is measured with.

    Args:
        spec: has the precision of the file.
    """

    path: Path
    spec: TargetSpec
    plan: MeasurementPlan
    db: str


def summarize_in_fresh_process(request: FileRequest, progress: Progress, title: str) -> Summary:
    """The latency of a file, measured in a fresh process.

    Raises:
        Inconclusive: the process ended without a result.
    """
    progress.say(f"{title} in a fresh process")
    answer = answer_of("toolchain.measuring.fresh_process", TypeAdapter(FileRequest).dump_json(request), title)
    return TypeAdapter(Summary).validate_python(answer)


def answer_of(module: str, request: bytes, title: str) -> object:
    """What a module that is run as a program answers to a request, both as JSON.

    Raises:
        Inconclusive: it ended without an answer; the last line of its messages is named.
    """
    process = subprocess.run([sys.executable, "-P", "-m", module], input=request, capture_output=True, check=False)
    try:
        return json.loads(process.stdout)
    except ValueError:
        last = (process.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise Inconclusive(
            f"{title}: the fresh process ended with code {process.returncode}: {last}. Run the same command again"
        ) from None


def main() -> None:
    """Read a request from stdin and write the latency of its file to stdout."""
    request = TypeAdapter(FileRequest).validate_json(sys.stdin.buffer.read())
    files = {"model": Model(request.path)}
    measured = summarize_files(files, ready_target(request.spec), request.plan, request.db, Quiet(), "measure")
    sys.stdout.write(json.dumps(asdict(measured["model"])))


if __name__ == "__main__":
    main()
