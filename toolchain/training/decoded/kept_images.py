"""The decoded images of a data set that are in the cache, by their number in the data set."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from toolchain.training.decoded.pack_file import DamagedPack, Pack
from toolchain.training.decoded.room import SUFFIX

Place = tuple[Pack, int]  # a pack and a row of it


class KeptImages:
    """The images of one resolution; those that are not kept are None."""

    def __init__(self, places: Sequence[Place | None]) -> None:
        self._places = list(places)

    @property
    def missing(self) -> list[int]:
        """The numbers of the images that are not kept."""
        return [number for number, place in enumerate(self._places) if place is None]

    def get(self, index: int) -> Tensor | None:
        """uint8 (C, H, W), a view of the file that must not be changed.

        A damaged pack is removed, so that the next command decodes its images again.
        """
        if (place := self._places[index]) is None:
            return None
        pack, row = place
        try:
            return pack.read(row)
        except DamagedPack:
            self._places[index] = None
            _remove(pack.path)
            return None


def find_kept(folder: Path, keys: Sequence[bytes]) -> KeptImages:
    """The images with these keys in the packs of a folder, which become the most recently used ones."""
    wanted = set(keys)
    places: dict[bytes, Place] = {}
    for pack in intact_packs(folder):
        held = {key: (pack, row) for row, key in enumerate(pack.keys) if key in wanted}
        if held.keys() - places.keys():
            places |= held
            with suppress(OSError):
                os.utime(pack.path)
    return KeptImages([places.get(key) for key in keys])


def intact_packs(folder: Path) -> Iterator[Pack]:
    """The packs of a folder; damaged ones are removed."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            yield Pack(path)
        except DamagedPack:
            _remove(path)
        except OSError:  # another process removed it, or it cannot be read
            continue


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
