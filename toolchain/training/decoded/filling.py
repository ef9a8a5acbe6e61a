"""Find the decoded images of a data set in the cache, and decode those that are missing."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import PIL

from exporters.files import user_cache
from toolchain.progress import Progress
from toolchain.training.cache_limit import cache_limit_bytes
from toolchain.training.cores import available_cores
from toolchain.training.decode import DECODING
from toolchain.training.decoded.keeper import Keeper, Pixels
from toolchain.training.decoded.kept_images import KeptImages, find_kept
from toolchain.training.decoded.resolution import Resolution
from toolchain.training.image_cache import one_process_at_a_time
from toolchain.training.images import FolderImages

NOTABLE_MB = 10.0
CHUNK = 256  # images between two updates of progress
ASPECT = 1.5  # of a whole image, to estimate its size


def keeper_for(images: int, resolutions: Sequence[Resolution]) -> Keeper | None:
    """What keeps the decoded images of a data set; None without a cache folder.

    Resolutions of which the cache cannot hold all images are left out: an epoch would remove what the next one needs.
    """
    folder = user_cache()
    if folder is None:
        return None
    fitting = [resolution for resolution in resolutions if images * _estimated_bytes(resolution) <= cache_limit_bytes()]
    # another version of Pillow may decode to other pixels
    return Keeper(folder / f"decoded-{DECODING}-pillow-{PIL.__version__}", fitting)


def with_kept(images: FolderImages, keeper: Keeper, title: str, progress: Progress) -> FolderImages:
    """The data set with its decoded images; those that are missing are decoded and written first.

    Raises:
        BadData: an image cannot be read.
    """
    with one_process_at_a_time():
        kept = _found(images, keeper)
        if missing := sorted({index for resolution in kept.values() for index in resolution.missing}):
            _decode(images, missing, keeper, title, progress)
            kept = _found(images, keeper)
    return replace(images, kept=kept)


def _found(images: FolderImages, keeper: Keeper) -> dict[Resolution, KeptImages]:
    return {resolution: find_kept(keeper.folder(resolution), images.pixel_keys) for resolution in keeper.resolutions}


def _decode(images: FolderImages, missing: Sequence[int], keeper: Keeper, title: str, progress: Progress) -> None:
    def pixels(index: int) -> Pixels:
        image = images.decode(index)
        return {resolution: resolution.pixels(image) for resolution in keeper.resolutions}

    if keeper.stopped:
        return
    task = progress.start(f"decode images of {title}", len(missing))
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            for index, result in zip(chunk, pool.map(pixels, chunk), strict=True):
                keeper.add(images.pixel_keys[index], result)
            task.advance(len(chunk))
            if keeper.stopped:
                break
    keeper.flush()


def _estimated_bytes(resolution: Resolution) -> float:
    return resolution.channels * resolution.size_px**2 * (ASPECT if resolution.whole else 1)


def say_kept(keepers: Iterable[Keeper], title: str, progress: Progress) -> None:
    """Name the folder of a notable amount of new files, and why not all images are kept."""
    used = list(keepers)
    for keeper in used:
        if keeper.stopped:
            progress.say(f"{title}: not all decoded images are kept in {keeper.root}: {keeper.stopped}")
            return
    if (megabytes := sum(keeper.bytes for keeper in used) / 1e6) >= NOTABLE_MB:
        progress.say(f"{title}: decoded images are kept in {used[0].root} ({megabytes:.0f} MB)")
