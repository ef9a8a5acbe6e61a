"""Two measurements of the same parts, row by row."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from latency_db import where
from latency_db.errors import BadTransfer, UnknownTarget
from latency_db.store import Store, open_store
from latency_db.table import Row
from latency_db.target import Target
from latency_db.transfer import take_in


@dataclass(frozen=True)
class PartialSums:
    """One of the two: a target and its rows."""

    target: Target
    rows: Mapping[str, Row]


@dataclass(frozen=True)
class Compared:
    """A part on both sides. `spread` is how far the ratio may be off by the rounds' own restlessness, relative."""

    key: str
    before_ms: float
    after_ms: float
    ratio: float
    spread: float


@dataclass(frozen=True)
class Difference:
    """What differs, in the targets and in the rows."""

    fields: tuple[str, ...]
    rows: tuple[Compared, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def median_ratio(self) -> float | None:
        """Over the rows of both sides; None where there are none."""
        return median(row.ratio for row in self.rows) if self.rows else None


def side(text: str, db: str) -> PartialSums:
    """What a person named: a target of `db` by its id, or a file or URL, where it has one target or is `FILE#ID`.

    Raises:
        UnknownTarget: there is no such target, or several.
        LatencyDbError: the file or database can't be used.
    """
    place, wanted = text, ""
    if not _is_there(text) and "#" in text:  # a file's name may have one as well
        place, _, wanted = text.rpartition("#")
    if not _is_there(place):
        place, wanted = db, text
    with _opened(place) as store:
        target = store.target(wanted) if wanted else _only(store, text)
        return PartialSums(target, {row.key: row for row in store.networks(target, "")})


def compare(before: PartialSums, after: PartialSums) -> Difference:
    """Ratios after / before of the parts that both have."""
    both = sorted(before.rows.keys() & after.rows.keys())
    return Difference(
        fields=before.target.differences(after.target),
        rows=tuple(_compared(before.rows[key], after.rows[key]) for key in both),
        only_before=tuple(sorted(before.rows.keys() - after.rows.keys())),
        only_after=tuple(sorted(after.rows.keys() - before.rows.keys())),
    )


def _compared(before: Row, after: Row) -> Compared:
    b, a = before.summary, after.summary
    spread = math.hypot(b.mad_ms / b.median_ms, a.mad_ms / a.median_ms) if b.median_ms and a.median_ms else math.inf
    ratio = a.latency_ms / b.latency_ms if b.latency_ms else math.inf
    return Compared(before.key, b.latency_ms, a.latency_ms, ratio, spread)


def _only(store: Store, text: str) -> Target:
    found = [target for target, parts in store.targets() if parts]
    if len(found) == 1:
        return found[0]
    ids = ", ".join(target.id for target in found) or "none"
    raise UnknownTarget(f"{text} has {len(found)} measured targets ({ids}), and one is compared. Write {text}#ID")


@contextmanager
def _opened(place: str) -> Iterator[Store]:
    """A database, or an exported file, which is read into one for the while."""
    path = where.parse(place)
    if not isinstance(path, Path) or not _is_export(path):
        with open_store(place) as store:
            yield store
        return
    with TemporaryDirectory(prefix="nastool-") as folder, open_store(Path(folder) / "export.sqlite") as store:
        take_in(store, path)
        yield store


def _is_there(place: str) -> bool:
    path = where.parse(place)
    return path.is_file() if isinstance(path, Path) else "#" not in place


def _is_export(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(1) == b"{"
    except OSError as problem:
        raise BadTransfer(f"can't read {path}: {problem.strerror}. Name another file or a target's id") from None
