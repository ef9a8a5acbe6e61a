"""`nastool bench`: files side by side."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation, with_fitted_space, with_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolchain.bench.results import Accuracy, Part
    from toolchain.bench.run import Bench, Entry
    from toolchain.bench.subjects import Subject
    from toolchain.config import Config
    from toolchain.progress import Progress
    from toolchain.spaces.core import SearchSpace
    from toolchain.training.data import Data

DATA = "data"  # in place of files: benchmark data loading


@configured("bench")
def bench(
    invocation: Invocation,
    files: Annotated[
        list[str],
        typer.Argument(
            help="ONNX files and TensorRT engines; run:NAME for the export of a run; torchvision:NAME for a network "
            "of torchvision; or only data, to measure data loading.",
            show_default=False,
        ),
    ],
    rounds: Annotated[int, typer.Option("--rounds", help="How often each file is timed.", min=1, max=10**6)] = 20,
    accuracy: Annotated[
        str | None,
        typer.Option("--accuracy", help="Also evaluate the exported files on these images: holdout or test."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Write a plot of accuracy against latency to this PNG file.")
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            help="Runtime to measure with, e.g. onnxruntime or tensorrt@gpu0. Repeat the flag to compare several.",
            rich_help_panel="Target",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Time files side by side, on one or several backends, and compare each with the first.

    nastool bench data measures images per second instead: reading, loading and training.
    """
    from toolchain.errors import BadConfig

    config = invocation.config
    if files == [DATA]:
        _bench_data(invocation, json)
        return
    if DATA in files:
        raise BadConfig(
            f"{DATA} cannot be combined with files. Run nastool bench {DATA} alone, or write ./{DATA} for a file of "
            f"that name"
        )
    result = _bench_files(config, files, backend or [], rounds, accuracy, picture)
    if json:
        console.answer_json(result.as_dict())
    else:
        _answer(result)


def _bench_data(invocation: Invocation, json: bool) -> None:
    from toolchain.bench.installed import require_installed

    require_installed("torch", "nastool bench data")
    config = with_recipe(with_fitted_space(invocation), "train").config
    console.say(f"timing {config.data_name()}, {config.space}")
    from toolchain.nets.checked_space import configured_space
    from toolchain.training.throughput import bench_data
    from toolchain.training.torch_setup import prepare_torch

    prepare_torch(config)
    with console.progress() as bars:
        rates = bench_data(config, configured_space(config), bars)
    if json:
        console.answer_json(rates.as_dict())
    else:
        shown = {key.replace("_", " "): _digits(value) for key, value in rates.as_dict().items()}
        console.answer_facts("images a second", shown)


def _digits(value: object) -> object:
    if not isinstance(value, float):
        return value
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _bench_files(
    config: "Config", files: list[str], backends: list[str], rounds: int, accuracy: str | None, picture: Path | None
) -> "Bench":
    console.say(f"timing {', '.join(files)}")
    from toolchain.bench.installed import require_installed
    from toolchain.bench.results import part_of
    from toolchain.bench.run import BenchSettings, points_of
    from toolchain.bench.run import bench as run_bench
    from toolchain.bench.subjects import find_subjects, places_of
    from toolchain.check.requirements import parse_confidence
    from toolchain.files import require_writable
    from toolchain.measuring.from_config import target_spec

    part = part_of(accuracy)
    if part:
        require_installed("torch", "--accuracy")
        config.data_name()  # what can be refused is, before anything is exported or timed
    confidence = parse_confidence(config.check.confidence)
    if picture:
        require_installed("matplotlib", "--picture")
        require_writable(picture, "--picture bench.png")
    profile = config.profile
    places = places_of(backends, target_spec(profile))
    with console.progress() as bars, TemporaryDirectory(prefix="nastool-") as folder:
        subjects = find_subjects(files, places, config.runs, Path(folder), bars)
        scores = _scores(config, subjects, part, bars) if part else {}
        bench_settings = BenchSettings(rounds, confidence, profile.min_ms, config.seed, profile.db)
        result = run_bench(subjects, bench_settings, scores, bars)
    if picture:
        from toolchain.report.bench import draw_bench

        draw_bench(points_of(result), f"{config.data}, {part}", config.profile.batch, picture)
        console.say(f"picture: {picture}")
    return result


def _scores(
    config: "Config", subjects: "Sequence[Subject]", part: "Part", progress: "Progress"
) -> "dict[Subject, Accuracy | str]":
    from toolchain.bench.accuracy import score

    return score(subjects, part, partial(_data, config), progress)


def _data(config: "Config", space: "SearchSpace") -> "Data":
    from toolchain.training.data import configured_data

    return configured_data(config, space)


def _megabytes(n_bytes: int | None) -> str:
    return "-" if n_bytes is None else f"{n_bytes / 1e6:.1f}"


def _answer(result: "Bench") -> None:
    from toolchain.training.accuracy_interval import accuracy_text
    from toolchain.units import format_ms

    where = ["backend"] if len(result.places) > 1 else []  # one needs no column
    memory = ["memory MB"] if any(entry.peak_memory_bytes for entry in result.entries) else []

    def row(entry: "Entry") -> tuple[str, ...]:
        ratio, accuracy = entry.ratio, entry.accuracy
        return (
            entry.name,
            *([entry.place] if where else []),
            entry.precision,
            format_ms(entry.latency_ms.middle),
            f"{entry.mad_ms / entry.median_ms:.1%}",
            f"{ratio.middle:.3f} ({ratio.low:.3f} to {ratio.high:.3f})",
            f"{entry.file_bytes / 1e6:.2f}",
            *([_megabytes(entry.peak_memory_bytes)] if memory else []),
            accuracy_text(accuracy.share, accuracy.images) if accuracy else "unknown" if entry.accuracy_note else "-",
        )

    targets = [entry.target for entry in result.entries]
    named = dict.fromkeys(f"{target.device_model}, {target.backend} {target.backend_version}" for target in targets)
    console.answer_table(
        f"{'; '.join(named)}, batch {targets[0].batch}, threads {targets[0].threads}; "
        f"{result.rounds} rounds, {len(result.noisy_rounds)} noisy, intervals of {result.confidence * 100:.4g} %",
        ("file", *where, "precision", "latency", "spread", "ratio to the first", "MB", *memory, "accuracy"),
        [row(entry) for entry in result.entries],
    )
    for name, note in {entry.name: entry.accuracy_note for entry in result.entries if entry.accuracy_note}.items():
        console.say(f"{name}: accuracy {note}")
