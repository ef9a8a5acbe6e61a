"""Comparison of two measurements, record by record."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from latency_db import where
from latency_db.errors import BadTransfer, UnknownTarget
from latency_db.store import Store, open_store
from latency_db.table import Record
from latency_db.target import Target
from latency_db.transfer import import_file

ID = re.compile(r"[0-9a-f]{1,16}")  # of a target, or its first digits


@dataclass(frozen=True)
class Measured:
    """A target with its records, by key."""

    target: Target
    records: Mapping[str, Record]


@dataclass(frozen=True)
class ComparedRecord:
    """A record that both measurements have.

    `ratio` is after / before, None if the latency before is 0. `spread` is the relative uncertainty of the ratio from
    the variation of the rounds, None if a median is 0.
    """

    key: str
    before_ms: float
    after_ms: float
    ratio: float | None
    spread: float | None


@dataclass(frozen=True)
class Difference:
    """The fields in which the targets differ, and the records."""

    fields: tuple[str, ...]
    records: tuple[ComparedRecord, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def median_ratio(self) -> float | None:
        """The median ratio of the common records; None if there is none."""
        ratios = [record.ratio for record in self.records if record.ratio is not None]
        return median(ratios) if ratios else None


def measured(text: str, db: str) -> Measured:
    """The measurement that a command-line argument names: the id of a target in `db`, a file or URL, or `FILE#ID`.

    Raises:
        UnknownTarget: there is no such target, or several.
        LatencyDbError: the file or database cannot be used.
    """
    place, target_id = text, ""
    if not _is_place(text) and "#" in text:  # the name of a file may contain a # as well
        place, _, target_id = text.rpartition("#")
    if not _is_place(place):
        if not ID.fullmatch(text):
            raise UnknownTarget(
                f"{text} is neither a file that exists nor the id of a target. Run nastool db list to see the ids"
            )
        place, target_id = db, text
    with _opened(place) as store:
        target = store.target(target_id) if target_id else _only_target(store, text)
        return Measured(target, {record.key: record for record in store.networks(target, "")})


def compare(before: Measured, after: Measured) -> Difference:
    """Compare the records that both have."""
    both = sorted(before.records.keys() & after.records.keys())
    return Difference(
        fields=before.target.differences(after.target),
        records=tuple(_compared(before.records[key], after.records[key]) for key in both),
        only_before=tuple(sorted(before.records.keys() - after.records.keys())),
        only_after=tuple(sorted(after.records.keys() - before.records.keys())),
    )


def _compared(before: Record, after: Record) -> ComparedRecord:
    b, a = before.summary, after.summary
    spread = math.hypot(b.mad_ms / b.median_ms, a.mad_ms / a.median_ms) if b.median_ms and a.median_ms else None
    ratio = a.latency_ms / b.latency_ms if b.latency_ms else None
    return ComparedRecord(before.key, b.latency_ms, a.latency_ms, ratio, spread)


def _only_target(store: Store, text: str) -> Target:
    targets = [target for target, records in store.targets() if records]
    if len(targets) == 1:
        return targets[0]
    ids = ", ".join(target.id for target in targets) or "none"
    place = where.shown(text)
    raise UnknownTarget(f"{place} has {len(targets)} measured targets ({ids}). Choose one of them as {place}#ID")


@contextmanager
def _opened(place: str) -> Iterator[Store]:
    """A database, or an exported file, which is read into a temporary database."""
    path = where.parse(place)
    if not isinstance(path, Path) or not _is_export(path):
        with open_store(place) as store:
            yield store
        return
    with TemporaryDirectory(prefix="nastool-") as folder, open_store(Path(folder) / "export.sqlite") as store:
        import_file(store, path)
        yield store


def _is_place(text: str) -> bool:
    path = where.parse(text)
    return path.is_file() if isinstance(path, Path) else "#" not in text


def _is_export(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(1) == b"{"
    except OSError as problem:
        raise BadTransfer(f"cannot read {path}: {problem.strerror}. Give another file, or the id of a target") from None
