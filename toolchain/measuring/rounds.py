"""Files, timed: the one way that parts, winners and exported networks are measured."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.backends import Backend, Compiled, CompileSpec
from exporters.graph import anchor
from exporters.timing import Timing, interleaved
from latency_db.table import Sample, Summary, round_ms, summarize
from toolchain.config import ProfileConfig
from toolchain.errors import BadConfig
from toolchain.measuring.device_lock import device_locks
from toolchain.measuring.idle import IdleWaiter
from toolchain.measuring.target import in_own_precision, target_of, usable_backend
from toolchain.progress import Progress, Task

Round = dict[str, Sample]
Work = tuple[Path, ProfileConfig]  # a file, and where and how it is timed


def side_by_side(
    works: Mapping[str, Work], rounds: range, min_ms: float, seed: int, progress: Progress, title: str
) -> Iterator[tuple[int, Round]]:
    """Compile each file for its own device and backend, then time all of them once a round in random order.

    Each round also has the anchor network, once on each device and backend; the first is under
    `exporters.graph.anchor.KEY`.

    Args:
        rounds: their numbers; on them and on `seed` alone the order in a round depends.
        min_ms: for about so long each file is timed in a round.
    """
    yardsticks = _yardsticks(works)
    with _compiled(works, yardsticks, progress) as compiled:
        task = progress.start(title, rounds.stop * len(compiled), done=rounds.start * len(compiled))
        yield from _timed(compiled, yardsticks, rounds, min_ms, seed, task)


def rounds_of(
    files: Mapping[str, Path],
    config: ProfileConfig,
    seed: int,
    start: int,
    progress: Progress,
    title: str,
    own_precision: bool = False,
) -> Iterator[tuple[int, Round]]:
    """Compile each file, then time all of them once a round in random order, from round `start` on.

    Each round also has the anchor network under `exporters.graph.anchor.KEY`.

    Args:
        own_precision: take each file in the precision that it is of, whatever the configuration's.
    """
    works = {key: (file, in_own_precision(file, config) if own_precision else config) for key, file in files.items()}
    yield from side_by_side(works, range(start, config.rounds), config.min_ms, seed, progress, title)


def trusted_rounds(
    files: Mapping[str, Path],
    config: ProfileConfig,
    seed: int,
    done: Mapping[int, Round],
    progress: Progress,
    title: str,
) -> Iterator[tuple[int, Round]]:
    """As `rounds_of`, and then further rounds of the files whose figures can't be trusted yet.

    There are at most as many further rounds as planned ones, and each waits for a quiet machine as long as there is
    patience left (`config.quiet_timeout_s`, in all). What is timed in them depends on the rounds before alone, so a
    measurement that was killed goes on with the round that it was in.

    Args:
        done: the rounds that were done by an earlier, killed command.
    """
    works = {key: (file, config) for key, file in files.items()}
    yardsticks = _yardsticks(works)
    kind, rounds = yardsticks[anchor.KEY].kind, dict(done)
    with _compiled(works, yardsticks, progress) as compiled:
        planned = range(min(len(done), config.rounds), config.rounds)
        task = progress.start(title, config.rounds * len(compiled), done=planned.start * len(compiled))
        for number, round_ in _timed(compiled, yardsticks, planned, config.min_ms, seed, task):
            rounds[number] = round_
            yield number, round_
        watch = IdleWaiter(compiled[anchor.KEY], config.quiet_timeout_s, config.threads, kind, progress)
        named = ""
        while doubtful := _doubtful(files, rounds, config, kind):
            if len(rounds) >= 2 * config.rounds:
                progress.say(f"still not to be trusted, and marked unstable: {_named(doubtful)}")
                return
            number = len(rounds)
            if named != (named := ", ".join(doubtful)):  # once, and then only as there are fewer
                progress.say(f"timing again what can't be trusted yet, from round {number + 1}: {_named(doubtful)}")
            watch.wait(least_ms=_least_anchor_ms(rounds))
            again = {key: compiled[key] for key in (*doubtful, anchor.KEY)}
            for _, round_ in _timed(again, yardsticks, range(number, number + 1), config.min_ms, seed, None):
                rounds[number] = round_
                yield number, round_


def summaries(
    files: Mapping[str, Path], config: ProfileConfig, seed: int, progress: Progress, title: str = "measure"
) -> dict[str, Summary]:
    """What each file takes, by the same statistics as a row of the latency table."""
    rounds = dict(trusted_rounds(files, config, seed, {}, progress, title))
    return _summaries(files, rounds, config.threads, target_of(config).device_kind)


def measure(
    files: Mapping[str, Path], config: ProfileConfig, seed: int, progress: Progress, title: str = "measure"
) -> dict[str, float]:
    """The latency of each file in ms a batch.

    Raises:
        BadConfig: the configuration asks for estimates, and those are never called measured.
    """
    if config.estimate:
        raise BadConfig(
            f"nothing is measured under --estimate: {config.device} is not here. Leave it away, and name a --device "
            f"that nastool doctor lists, or type this where {config.device} is"
        )
    return {key: found.latency_ms for key, found in summaries(files, config, seed, progress, title).items()}


@dataclass(frozen=True)
class _Yardstick:
    """The anchor network on a file's own device and backend: its key, and how its figure is taken."""

    key: str
    threads: int
    kind: str


def _yardsticks(works: Mapping[str, Work]) -> dict[str, _Yardstick]:
    """That of each file, and of each anchor network itself."""
    found: dict[str, _Yardstick] = {}
    of_stack: dict[tuple[str, str], _Yardstick] = {}
    for key, (_, profile) in works.items():
        stack = (profile.device, profile.backend)
        if stack not in of_stack:
            name = f"{anchor.KEY} {len(of_stack)}" if of_stack else anchor.KEY
            found[name] = of_stack[stack] = _Yardstick(name, profile.threads, target_of(profile).device_kind)
        found[key] = of_stack[stack]
    return found


@contextmanager
def _compiled(
    works: Mapping[str, Work], yardsticks: Mapping[str, _Yardstick], progress: Progress
) -> Iterator[dict[str, Compiled]]:
    """Files and anchor networks, made ready to run, on devices that nobody else measures on meanwhile."""
    # of each precision it is asked anew: a time in another one would be no figure of the file
    usable = {profile: usable_backend(profile) for profile in dict.fromkeys(profile for _, profile in works.values())}
    backends: dict[str, Backend] = {}
    with ExitStack() as stack:
        stack.enter_context(device_locks(usable, progress))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="nastool-")))
        anchor.write_anchor(folder / "anchor.onnx")
        compiled: dict[str, Compiled] = {}

        def make(key: str, backend: Backend, file: Path, spec: CompileSpec) -> None:
            compiled[key] = backend.compile(file, spec)
            stack.callback(compiled[key].close)

        for key, (file, profile) in works.items():
            # one backend a stack: a device that is made up keeps its clock in it
            backend = backends.setdefault(yardsticks[key].key, usable[profile])
            make(key, backend, file, CompileSpec(profile.batch, profile.threads, profile.precision))
        for key, backend in backends.items():
            make(key, backend, folder / "anchor.onnx", anchor.spec(yardsticks[key].threads))
        yield compiled


def _timed(
    compiled: Mapping[str, Compiled],
    yardsticks: Mapping[str, _Yardstick],
    numbers: range,
    min_ms: float,
    seed: int,
    task: Task | None,
) -> Iterator[tuple[int, Round]]:
    def tick(key: str) -> None:
        if task is not None:
            task.advance(note=key)

    for number, timings in interleaved(compiled, numbers, min_ms, seed, tick):
        yield number, _round(timings, yardsticks)


def _round(timings: Mapping[str, Timing], yardsticks: Mapping[str, _Yardstick]) -> Round:
    samples = {key: Sample(**vars(timing), place=place) for place, (key, timing) in enumerate(timings.items())}
    by = {key: yardsticks[key] for key in samples}
    return {
        key: replace(sample, anchor_ms=round_ms(samples[by[key].key], by[key].threads, by[key].kind))
        for key, sample in samples.items()
    }


def _summaries(files: Mapping[str, Path], rounds: Mapping[int, Round], threads: int, kind: str) -> dict[str, Summary]:
    of_key = {key: [rounds[number][key] for number in sorted(rounds) if key in rounds[number]] for key in files}
    return {key: summarize(samples, threads, kind) for key, samples in of_key.items()}


def _doubtful(
    files: Mapping[str, Path], rounds: Mapping[int, Round], config: ProfileConfig, kind: str
) -> dict[str, str]:
    """The files whose figures can't be trusted, and why."""
    found = _summaries(files, rounds, config.threads, kind)
    return {key: summary.unstable for key, summary in found.items() if summary.unstable}


def _named(doubtful: Mapping[str, str], most: int = 3) -> str:
    shown = [f"{key} ({why})" for key, why in list(doubtful.items())[:most]]
    rest = len(doubtful) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _least_anchor_ms(rounds: Mapping[int, Round]) -> float:
    samples = (sample for round_ in rounds.values() for sample in round_.values())
    return min(sample.anchor_ms for sample in samples if sample.anchor_ms is not None)
