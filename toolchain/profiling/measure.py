"""Files, timed: the one way that parts, winners and exported networks are measured."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters import reference
from exporters.backends import Compiled, CompileSpec
from exporters.precision import precision_of
from exporters.timing import Timing, interleaved
from latency_db.table import Sample, Summary, round_ms, summarise
from toolchain.config import ProfileConfig
from toolchain.errors import BadConfig
from toolchain.profiling.quiet import Watch
from toolchain.profiling.stack import context_of, precision_found, usable_backend
from toolchain.profiling.turns import device_turn
from toolchain.progress import Progress, Task

Round = dict[str, Sample]


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

    Each round also has the reference network under `exporters.reference.KEY`.

    Args:
        own_precision: take each file in the precision that it is of, whatever the configuration's.
    """
    kind = context_of(config).device_kind
    with _compiled(files, config, progress, own_precision) as compiled:
        task = progress.start(title, config.rounds * len(compiled), done=start * len(compiled))
        yield from _timed(compiled, range(start, config.rounds), config, seed, kind, task)


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
    kind = context_of(config).device_kind
    rounds = dict(done)
    with _compiled(files, config, progress) as compiled:
        planned = range(min(len(done), config.rounds), config.rounds)
        task = progress.start(title, config.rounds * len(compiled), done=planned.start * len(compiled))
        for number, round_ in _timed(compiled, planned, config, seed, kind, task):
            rounds[number] = round_
            yield number, round_
        watch = Watch(compiled[reference.KEY], config.quiet_timeout_s, config.threads, kind, progress)
        named = ""
        while doubtful := _doubtful(files, rounds, config, kind):
            if len(rounds) >= 2 * config.rounds:
                progress.say(f"still not to be trusted, and marked unstable: {_named(doubtful)}")
                return
            number = len(rounds)
            if named != (named := ", ".join(doubtful)):  # once, and then only as there are fewer
                progress.say(f"timing again what can't be trusted yet, from round {number + 1}: {_named(doubtful)}")
            watch.wait(least_ms=min(sample.reference_ms for round_ in rounds.values() for sample in round_.values()))
            again = {key: compiled[key] for key in (*doubtful, reference.KEY)}
            for _, round_ in _timed(again, range(number, number + 1), config, seed, kind, None):
                rounds[number] = round_
                yield number, round_


def summaries(
    files: Mapping[str, Path], config: ProfileConfig, seed: int, progress: Progress, title: str = "measure"
) -> dict[str, Summary]:
    """What each file takes, by the same statistics as a row of the latency table."""
    rounds = dict(trusted_rounds(files, config, seed, {}, progress, title))
    return _summaries(files, rounds, config.threads, context_of(config).device_kind)


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


@contextmanager
def _compiled(
    files: Mapping[str, Path], config: ProfileConfig, progress: Progress, own_precision: bool = False
) -> Iterator[dict[str, Compiled]]:
    """The files and the reference network, made ready to run, on a device that nobody else measures on meanwhile."""
    backend = usable_backend(config)
    spec = CompileSpec(batch=config.batch, threads=config.threads, precision=config.precision)
    with ExitStack() as stack:
        stack.enter_context(device_turn(config, progress))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="nastool-")))
        reference.write_reference(folder / "reference.onnx")
        compiled: dict[str, Compiled] = {}
        for key, file in files.items():
            if own_precision:
                spec = replace(spec, precision=precision_of(file))
                precision_found(backend, spec.precision)  # another one's time would be no figure of this file
            compiled[key] = backend.compile(file, spec)
            stack.callback(compiled[key].close)
        compiled[reference.KEY] = backend.compile(folder / "reference.onnx", reference.spec(config.threads))
        stack.callback(compiled[reference.KEY].close)
        yield compiled


def _timed(
    compiled: Mapping[str, Compiled], numbers: range, config: ProfileConfig, seed: int, kind: str, task: Task | None
) -> Iterator[tuple[int, Round]]:
    def tick(key: str) -> None:
        if task is not None:
            task.advance(note=key)

    for number, timings in interleaved(compiled, numbers, config.min_ms, seed, tick):
        yield number, _round(timings, config.threads, kind)


def _round(timings: Mapping[str, Timing], threads: int, kind: str) -> Round:
    samples = {key: Sample(**vars(timing)) for key, timing in timings.items()}
    reference_ms = round_ms(samples[reference.KEY], threads, kind)
    return {key: replace(sample, reference_ms=reference_ms) for key, sample in samples.items()}


def _summaries(files: Mapping[str, Path], rounds: Mapping[int, Round], threads: int, kind: str) -> dict[str, Summary]:
    of_key = {key: [rounds[number][key] for number in sorted(rounds) if key in rounds[number]] for key in files}
    return {key: summarise(samples, threads, kind) for key, samples in of_key.items()}


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
