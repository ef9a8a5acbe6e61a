"""Timing of files in rounds: the one way in which variants, candidates and exported files are measured."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from exporters.backends import Backend, Compiled, CompileSpec, Simulated
from exporters.errors import ConnectionLost
from exporters.graph import anchor
from exporters.graph.model import Model, as_model
from exporters.timing import Timing, interleaved
from latency_db.table import Sample, Summary, round_ms, summarize
from toolchain.measuring.device_lock import device_locks
from toolchain.measuring.groups import groups_of
from toolchain.measuring.idle import IdleWaiter
from toolchain.measuring.plan import MeasurementPlan
from toolchain.measuring.reconnect import reconnect
from toolchain.measuring.target import ReadyTarget
from toolchain.measuring.timed_file import TimedFile
from toolchain.progress import Progress, Task
from toolchain.units import first_of

Files = Mapping[str, Path | Model]
Round = dict[str, Sample]
NO_ROUNDS: Mapping[int, Round] = MappingProxyType({})


def on_target(files: Files, target: ReadyTarget) -> dict[str, TimedFile]:
    """Files that are all timed on one target.

    Beside its 8-bit layers an int8 network may have float ones, and a part of it only those. So each of its files is
    compiled in its own precision.
    """
    if target.target.precision != "int8":
        return {key: TimedFile(file, target) for key, file in files.items()}
    models = {key: as_model(file) for key, file in files.items()}
    return {key: TimedFile(model, target.for_precision(model.precision)) for key, model in models.items()}


def time_rounds(
    files: Mapping[str, TimedFile], plan: MeasurementPlan, db: str, progress: Progress, title: str
) -> Iterator[tuple[int, Round]]:
    """Compile each file for its own target, then time all of them once in each round, in random order.

    Each round also times the anchor network on each device and backend; that of the first one is under
    `exporters.graph.anchor.KEY`. The order in a round depends on its number and on `plan.seed` alone.

    Args:
        db: the latency table; a PostgreSQL server also holds the device lock.
    """
    anchors = _anchors(files)
    with _locked(files, db, progress), _compiled(files, anchors) as compiled:
        task = progress.start(title, plan.rounds * len(compiled))
        yield from _timed(compiled, anchors, range(plan.rounds), plan, task)


def time_until_stable(
    files: Mapping[str, TimedFile],
    plan: MeasurementPlan,
    db: str,
    progress: Progress,
    title: str,
    done: Mapping[int, Round] = NO_ROUNDS,
) -> Iterator[tuple[int, Round]]:
    """As `time_rounds`, followed by further rounds of the files whose latency is still unstable.

    Files that do not fit in the device's memory together are timed in groups, one after the other; each group has its
    own rounds and the anchor network (`toolchain.measuring.groups`). There are at most `plan.rounds` further rounds of
    a group. Before each, the machine is given time to become idle (`plan.quiet_timeout_s` in total). What a further
    round times depends on the earlier rounds alone, so a measurement that was killed continues with the round in which
    it was killed. It does so by itself after a lost connection to a remote device (`toolchain.measuring.reconnect`).

    Args:
        done: rounds that were completed by a command that was killed.
    """
    rounds, attempt = dict(done), 0
    while True:
        try:
            for timed in _time_groups(files, plan, db, progress, title, rounds):
                attempt = 0
                yield timed
            return
        except ConnectionLost as problem:
            reconnect(files.values(), problem, attempt, progress)
            attempt += 1


def _time_groups(
    files: Mapping[str, TimedFile],
    plan: MeasurementPlan,
    db: str,
    progress: Progress,
    title: str,
    rounds: dict[int, Round],
) -> Iterator[tuple[int, Round]]:
    """The remaining rounds of all groups, one group after the other.

    Args:
        rounds: those that are complete; further ones are added.
    """
    groups = groups_of(files)
    with _locked(files, db, progress):
        for number, group in enumerate(groups, 1):
            own = {n: round_ for n, round_ in rounds.items() if round_.keys() & files.keys() <= group.keys()}
            part = f"{title}, group {number} of {len(groups)}" if len(groups) > 1 else title
            for timed in _time_group(group, own, len(rounds), plan, progress, part):
                rounds.update([timed])
                yield timed


def _time_group(
    files: Mapping[str, TimedFile],
    rounds: dict[int, Round],
    first: int,
    plan: MeasurementPlan,
    progress: Progress,
    title: str,
) -> Iterator[tuple[int, Round]]:
    """The remaining rounds of files that are loaded together.

    Args:
        rounds: those that they have already.
        first: the number of the next round.
    """
    if len(rounds) >= plan.rounds and (len(rounds) >= 2 * plan.rounds or not _unstable(files, rounds)):
        return
    anchors, done = _anchors(files), min(len(rounds), plan.rounds)
    with _compiled(files, anchors) as compiled:
        task = progress.start(title, plan.rounds * len(compiled), done=done * len(compiled))
        for number, round_ in _timed(compiled, anchors, range(first, first + plan.rounds - done), plan, task):
            rounds[number] = round_
            yield number, round_
        first += plan.rounds - done
        idle_anchor = anchors[anchor.KEY]
        waiter = IdleWaiter(
            compiled[idle_anchor.key], plan.quiet_timeout_s, idle_anchor.threads, idle_anchor.kind, progress
        )
        announced = ""
        while unstable := _unstable(files, rounds):
            if len(rounds) >= 2 * plan.rounds:
                progress.say(f"still unstable, and marked as such: {_listed(unstable)}")
                return
            if announced != (announced := ", ".join(unstable)):
                progress.say(f"timing unstable files again, from round {first + 1}: {_listed(unstable)}")
            waiter.wait(least_ms=_least_anchor_ms(rounds))
            again = {key: compiled[key] for key in (*unstable, anchor.KEY)}
            for number, round_ in _timed(again, anchors, range(first, first + 1), plan, None):
                rounds[number] = round_
                yield number, round_
            first += 1


def summarize_files(
    files: Files,
    target: ReadyTarget,
    plan: MeasurementPlan,
    db: str,
    progress: Progress,
    title: str = "measure",
) -> dict[str, Summary]:
    """The latency of each file, by the statistics of the latency table."""
    timed = on_target(files, target)
    return summaries_of(timed, dict(time_until_stable(timed, plan, db, progress, title)))


@dataclass(frozen=True)
class _Anchor:
    """The anchor network on one device and backend: its key, and how its latency is taken."""

    key: str
    threads: int
    kind: str


def _anchors(files: Mapping[str, TimedFile]) -> dict[str, _Anchor]:
    """The anchor network for each file, and for each anchor network itself."""
    anchors: dict[str, _Anchor] = {}
    by_backend: dict[Backend, _Anchor] = {}
    for key, file in files.items():
        backend = file.target.backend
        if backend not in by_backend:
            name = f"{anchor.KEY} {len(by_backend)}" if by_backend else anchor.KEY
            created = _Anchor(name, file.target.spec.threads, file.target.target.device_kind)
            anchors[name] = by_backend[backend] = created
        anchors[key] = by_backend[backend]
    return anchors


def _locked(files: Mapping[str, TimedFile], db: str, progress: Progress) -> AbstractContextManager[None]:
    """Hold the locks of the devices of `files`."""
    return device_locks([file.target.device for file in files.values()], db, progress)


@contextmanager
def _compiled(files: Mapping[str, TimedFile], anchors: Mapping[str, _Anchor]) -> Iterator[dict[str, Compiled]]:
    """Files and anchor networks, compiled; they are released in the reverse order."""
    backends: dict[str, Backend] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="nastool-")))
        anchor.write_anchor(folder / "anchor.onnx")
        compiled: dict[str, Compiled] = {}

        def compile_(key: str, backend: Backend, file: Path | Model, spec: CompileSpec) -> None:
            compiled[key] = backend.compile(file, spec)
            stack.callback(compiled[key].close)

        for key, file in files.items():
            backend = backends.setdefault(anchors[key].key, _restarted(file.target.backend))
            compile_(key, backend, file.file, file.target.compile_spec)
        for key, backend in backends.items():
            compile_(key, backend, folder / "anchor.onnx", anchor.spec(anchors[key].threads))
        yield compiled


def _restarted(backend: Backend) -> Backend:
    """A simulated device begins every measurement at the same time of its own clock."""
    return backend.restarted() if isinstance(backend, Simulated) else backend


def _timed(
    compiled: Mapping[str, Compiled],
    anchors: Mapping[str, _Anchor],
    numbers: range,
    plan: MeasurementPlan,
    task: Task | None,
) -> Iterator[tuple[int, Round]]:
    def tick(key: str) -> None:
        if task is not None:
            task.advance(note=key)

    for number, timings in interleaved(compiled, numbers, plan.min_ms, plan.seed, tick):
        yield number, _round(timings, anchors)


def _round(timings: Mapping[str, Timing], anchors: Mapping[str, _Anchor]) -> Round:
    samples = {key: Sample(**vars(timing), place=place) for place, (key, timing) in enumerate(timings.items())}
    anchors_ms = {key: round_ms(samples[a.key], a.threads, a.kind) for key, a in anchors.items() if key in samples}
    return {key: replace(sample, anchor_ms=anchors_ms[key]) for key, sample in samples.items()}


def summaries_of(files: Mapping[str, TimedFile], rounds: Mapping[int, Round]) -> dict[str, Summary]:
    """The latency of each file in the rounds that it was timed in."""
    summaries = {}
    for key, file in files.items():
        samples = [rounds[number][key] for number in sorted(rounds) if key in rounds[number]]
        summaries[key] = summarize(samples, file.target.spec.threads, file.target.target.device_kind)
    return summaries


def _unstable(files: Mapping[str, TimedFile], rounds: Mapping[int, Round]) -> dict[str, str]:
    """Files whose latency is not reproducible yet, each with the reason."""
    return {key: summary.unstable for key, summary in summaries_of(files, rounds).items() if summary.unstable}


def _listed(unstable: Mapping[str, str]) -> str:
    return first_of([f"{key} ({reason})" for key, reason in unstable.items()])


def _least_anchor_ms(rounds: Mapping[int, Round]) -> float:
    samples = (sample for round_ in rounds.values() for sample in round_.values())
    return min(sample.anchor_ms for sample in samples if sample.anchor_ms is not None)
