"""Rows that are filled seed by seed."""

from collections.abc import Sequence

from toolchain.paper.result import Row


class Rows:
    """Collects the values of rows, of one seed after the other."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._values: dict[str, dict[str, list[float | None]]] = {name: {} for name in names}
        self._notes: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all rows, in order."""
        return tuple(self._values)

    def add(self, name: str, note: str = "", **values: float | None) -> None:
        """The values of a row for the next seed, by the key of the column."""
        row = self._values.setdefault(name, {})
        for key, value in values.items():
            row.setdefault(key, []).append(value)
        if note:
            self._notes[name] = note

    def rows(self, printed: dict[str, dict[str, str]]) -> tuple[Row, ...]:
        """All rows in the order of their names, with what the paper prints."""
        return tuple(
            Row(
                name=name,
                values={key: tuple(numbers) for key, numbers in values.items()},
                printed=printed.get(name, {}),
                note=self._notes.get(name, ""),
            )
            for name, values in self._values.items()
        )
