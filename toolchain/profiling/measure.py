"""Files, timed: the one way that parts, winners and exported networks are measured."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from exporters.backends import CompileSpec
from exporters.timing import interleaved
from latency_db.table import Sample, summarise
from toolchain.config import ProfileConfig
from toolchain.errors import BadConfig
from toolchain.profiling.stack import usable_backend
from toolchain.profiling.turns import device_turn
from toolchain.progress import Progress


def rounds_of(
    files: Mapping[str, Path], config: ProfileConfig, seed: int, start: int, progress: Progress, title: str
) -> Iterator[tuple[int, dict[str, Sample]]]:
    """Compile each file, then time all of them once a round in random order, from round `start` on."""
    backend = usable_backend(config)
    spec = CompileSpec(batch=config.batch, threads=config.threads, precision=config.precision)
    with ExitStack() as stack:
        stack.enter_context(device_turn(config, progress))
        compiled = {}
        for key, file in files.items():
            compiled[key] = backend.compile(file, spec)
            stack.callback(compiled[key].close)
        task = progress.start(title, config.rounds * len(files), done=start * len(files))
        rounds = range(start, config.rounds)
        for number, timings in interleaved(compiled, rounds, config.min_ms, seed, lambda key: task.advance(note=key)):
            yield number, {key: Sample(**vars(timing)) for key, timing in timings.items()}


def measure(
    files: Mapping[str, Path], config: ProfileConfig, seed: int, progress: Progress, title: str = "measure"
) -> dict[str, float]:
    """The latency of each file in ms a batch, by the same statistic as a row of the latency table.

    Raises:
        BadConfig: the configuration asks for estimates, and those are never called measured.
    """
    if config.estimate:
        raise BadConfig(
            f"nothing is measured under --estimate: {config.device} is not here. Leave it away, and name a --device "
            f"that nastool doctor lists, or type this where {config.device} is"
        )
    samples: dict[str, list[Sample]] = {key: [] for key in files}
    for _, round_ in rounds_of(files, config, seed, 0, progress, title):
        for key, sample in round_.items():
            samples[key].append(sample)
    return {key: summarise(found, config.threads).latency_ms for key, found in samples.items()}
