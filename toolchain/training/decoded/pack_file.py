"""One file of decoded images: the pixels of many images, an index, and checksums of both.

    START | pixels of image 0 | pixels of image 1 | ... | index | offset and length of the index, its digest | END

A pack is written in memory, then to the disk as a whole, and never changed.
"""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from exporters.files import write_whole
from toolchain.training.image_cache import content_digest

START, END = b"nastool decoded images 1\n", b"end of nastool decoded images\n"
FOOTER = struct.Struct("<QQ16s")  # offset and number of the index's rows, digest of the index
ROW = np.dtype(
    [("key", "V16"), ("offset", "<u8"), ("channels", "<u4"), ("height", "<u4"), ("width", "<u4"), ("crc", "<u4")]
)


class DamagedPack(ValueError):
    """The file is not as it was written."""


class Pack:
    """The images of one file, memory-mapped; each is checked against its checksum when it is first read."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            DamagedPack: the index or the length of the file is wrong.
            OSError: the file cannot be read.
        """
        self.path = path
        self._rows = _read_index(path)
        self._mapped = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
        self._checked = np.zeros(len(self._rows), np.bool_)

    @property
    def keys(self) -> list[bytes]:
        """16 bytes for each image."""
        return [bytes(key) for key in self._rows["key"]]

    def read(self, row: int) -> Tensor:
        """uint8 (C, H, W), a view of the file that must not be changed.

        Raises:
            DamagedPack: the pixels are not those that were written.
        """
        _, offset, *shape, crc = self._rows[row].tolist()
        pixels = self._mapped[offset : offset + int(np.prod(shape))]
        if not self._checked[row]:
            if zlib.crc32(pixels.numpy().data) != crc:
                raise DamagedPack(f"{self.path}: the image {row} is damaged")
            self._checked[row] = True
        return pixels.view(*shape)


def pack_bytes(images: Sequence[tuple[bytes, Tensor]]) -> int:
    """The size of the file that `write_pack` writes."""
    pixels = sum(tensor.numel() for _, tensor in images)
    return len(START) + pixels + len(images) * ROW.itemsize + FOOTER.size + len(END)


def write_pack(path: Path, images: Sequence[tuple[bytes, Tensor]]) -> None:
    """Write images, uint8 (C, H, W), with their keys of 16 bytes.

    Raises:
        OSError: the disk is full or the folder read-only; there is no file then.
    """
    parts, rows, offset = [START], [], len(START)
    for key, pixels in images:
        content = pixels.contiguous().numpy().tobytes()
        rows.append((key, offset, *pixels.shape, zlib.crc32(content)))
        parts.append(content)
        offset += len(content)
    index = np.array(rows, ROW).tobytes()
    parts += [index, FOOTER.pack(offset, len(rows), content_digest(index)), END]
    write_whole(path, b"".join(parts))


def _read_index(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.void]]:
    tail = FOOTER.size + len(END)
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(START)) != START or size < len(START) + tail:
            raise DamagedPack(f"{path} does not begin like a pack")
        file.seek(size - tail)
        offset, count, digest = FOOTER.unpack(file.read(FOOTER.size))
        if file.read() != END or offset + count * ROW.itemsize + tail != size:
            raise DamagedPack(f"{path} was cut off or extended")
        file.seek(offset)
        index = file.read(count * ROW.itemsize)
    if content_digest(index) != digest:
        raise DamagedPack(f"{path} has a damaged index")
    return np.frombuffer(index, ROW)
