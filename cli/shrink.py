"""`nastool shrink`: fit a trained model to a latency budget."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, options
from cli.configured import configured
from cli.invocation import Invocation

if TYPE_CHECKING:
    from toolchain.shrink.result import Figures, ShrinkResult


@configured("shrink", preset="shrink")
def shrink(
    invocation: Invocation,
    source: Annotated[
        str,
        typer.Argument(
            help="The model: torchvision:NAME, timm:NAME or path/to/file.py:FUNCTION, with options as in "
            "torchvision:resnet18:size_px=64,classes=10.",
            show_default=False,
        ),
    ],
    json: options.Json = False,
) -> None:
    """Fit a trained model to a latency budget, with as little loss of accuracy as possible.

    Derives a search space from the model, adapts its weights, searches, fine-tunes, exports and checks the result.
    Resumes when rerun, with the same result.
    """
    space = source if source.startswith("model:") else f"model:{source}"
    config = invocation.config.model_copy(update={"space": space})
    console.say(f"run {config.run}: {config.data or 'no data set'}, {space}")
    from toolchain.run_report.files_of_report import write_page_of
    from toolchain.shrink.pipeline import run_shrink

    with console.progress() as bars, _source_in_remedies():
        result = run_shrink(config, bars)
    report = write_page_of(Path(result.folder), config.profile.db)
    if json:
        console.answer_json(result.model_dump(mode="json", exclude={"schema_version"}) | {"report": str(report)})
    else:
        _answer(result, report)


@contextmanager
def _source_in_remedies() -> Iterator[None]:
    """Messages about a space name the argument of this command, which has no --space."""
    from toolchain.errors import BadData, UnknownSpace

    try:
        yield
    except (BadData, UnknownSpace) as problem:
        raise type(problem)(_as_argument(str(problem))) from None


def _as_argument(text: str) -> str:
    """A message about `model:NAME` with the name as it is given to this command."""
    text = text.replace("--space model:", "nastool shrink ").replace("space 'model:", "'")
    return text.replace(", model:", ", ").replace(" or model:", " or ")


def _answer(result: "ShrinkResult", report: Path) -> None:
    before, after = result.original, result.shrunk
    rows = [
        (
            f"latency (ms, batch {result.batch})",
            _ms(before),
            _ms(after),
            f"{after.latency_ms / before.latency_ms - 1:+.1%}",
        ),
        ("hold-out accuracy", *_shares(before.holdout_accuracy, after.holdout_accuracy, result.holdout_images)),
        ("test accuracy", *_shares(before.test_accuracy, after.test_accuracy, result.test_images)),
        ("MACs", *_counts(before.macs, after.macs)),
        ("parameters", *_counts(before.params, after.params)),
        ("file size (bytes)", *_counts(before.file_bytes, after.file_bytes)),
    ]
    title = f"{result.space} on {result.data}, timed in the same rounds on this {result.device}"
    console.answer_table(title, ("", "original", "shrunk", "change"), rows)
    changes = {change.block: change.choice for change in result.changes}
    if result.channels_between is not None:
        kept, whole = result.channels_between.kept, result.channels_between.whole
        changes["channels between blocks"] = f"{kept:,} of {whole:,}"
    console.answer_facts(f"{len(result.changes)} of {result.blocks} blocks changed", changes)
    front = [(f"{entry.latency_ms:.3f}", f"{entry.holdout_accuracy:.2%}") for entry in result.front if entry.latency_ms]
    console.answer_table(
        "alternatives, before fine-tuning", ("predicted latency (ms)", "hold-out, inherited weights"), front
    )
    facts = {
        "budget": f"{result.limit_ms:.3f} ms",
        "check": "" if result.check is None else result.check.in_words,
        "ONNX file": result.onnx,
        "report": report,
        "all files": result.folder,
    }
    console.answer_facts("result", facts)


def _ms(figures: "Figures") -> str:
    return f"{figures.latency_ms:.3f}"


def _shares(before: float, after: float, images: int | None) -> tuple[str, str, str]:
    """Both accuracies with their intervals, and their difference."""
    return _share(before, images), _share(after, images), f"{100 * (after - before):+.2f} points"


def _share(accuracy: float, images: int | None) -> str:
    from toolchain.training.accuracy_interval import accuracy_text

    return f"{accuracy:.2%}" if images is None else accuracy_text(accuracy, images)


def _counts(before: int, after: int) -> tuple[str, str, str]:
    return f"{before:,}", f"{after:,}", f"{after / before - 1:+.1%}"
