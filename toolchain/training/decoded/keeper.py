"""Writes decoded images into the cache, many in a file."""

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from torch import Tensor

from toolchain.training.decoded.kept_images import intact_packs
from toolchain.training.decoded.pack_file import pack_bytes, write_pack
from toolchain.training.decoded.resolution import Resolution
from toolchain.training.decoded.room import SUFFIX, make_room

PACK_BYTES, PACK_S = 64 << 20, 20.0  # a killed command loses no more than this
Pixels = Mapping[Resolution, Tensor]


class Keeper:
    """Collects the decoded images of a data set and writes them as packs.

    It stops at the size limit of the cache, on a full disk and in a read-only folder; images that are not kept are
    decoded when they are needed.
    """

    def __init__(self, root: Path, resolutions: Sequence[Resolution]) -> None:
        self.root, self.resolutions = root, tuple(resolutions)
        self.images = self.bytes = 0  # written
        self.stopped: str | None = None  # the reason, in words
        self._buffers: dict[Resolution, list[tuple[bytes, Tensor]]] = {
            resolution: [] for resolution in self.resolutions
        }
        self._held = 0  # bytes that are not written yet
        self._began = self._flushed = time.time()

    @cached_property
    def _known(self) -> dict[Resolution, set[bytes]]:
        """The keys that are kept already."""
        return {
            resolution: {key for pack in intact_packs(self.folder(resolution)) for key in pack.keys}
            for resolution in self.resolutions
        }

    def folder(self, resolution: Resolution) -> Path:
        """The folder of the packs of one resolution."""
        return self.root / resolution.name

    def add(self, key: bytes, pixels: Pixels) -> None:
        """Keep one image at some resolutions, uint8 (C, H, W) each."""
        if self.stopped:
            return
        for resolution, tensor in pixels.items():
            if key not in self._known[resolution]:  # a file that was moved, or a copy
                self._known[resolution].add(key)
                self._buffers[resolution].append((key, tensor))
                self._held += tensor.numel()
        if self._held >= PACK_BYTES or time.time() - self._flushed > PACK_S:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        for resolution, images in self._buffers.items():
            if images and not self.stopped:
                self._write(self.folder(resolution), images)
            images.clear()
        self._flushed, self._held = time.time(), 0

    def _write(self, folder: Path, images: Sequence[tuple[bytes, Tensor]]) -> None:
        size = pack_bytes(images)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not make_room(self.root, size, self._began):
                self.stopped = "the cache or the disk is full"
                return
            write_pack(folder / f"{uuid4().hex}{SUFFIX}", images)
        except OSError as problem:
            self.stopped = problem.strerror or str(problem)
            return
        self.images += len(images)
        self.bytes += size
