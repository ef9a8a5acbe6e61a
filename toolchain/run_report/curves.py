"""Training curves from the TensorBoard files of a run."""

from collections.abc import Iterator
from pathlib import Path

from toolchain.run_report.document import Curve
from toolchain.runs import Run

MAX_POINTS = 200  # of a curve; more cannot be told apart in a picture


def read_curves(run: Run) -> Iterator[Curve]:
    """The curves of the supernet and of each retraining, thinned out; those of unfinished trainings too."""
    for folder in sorted(path for path in (run.folder / "tb").glob("*") if path.is_dir()):
        for name, points in sorted(_points(folder).items()):
            yield Curve(training=folder.name, name=name, points=_thinned(points))


def _points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """tag -> (step, value); of a resumed training, what was written before a kill and again after it counts once."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # takes a second to import

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def _thinned(points: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """At most `MAX_POINTS` of them, evenly spaced, with the last."""
    step = max(1, -(-len(points) // MAX_POINTS))
    kept = points[::step]
    return tuple(kept if not points or kept[-1] == points[-1] else [*kept, points[-1]])
