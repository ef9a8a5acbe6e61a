"""Images in shards: tar files in the layout of WebDataset, local or behind URLs.

Members of a shard that share a name up to the first dot are one sample: an image, and its class as a number in a `.cls`
file. Shards are indexed once (where each image lies, and its class), so that any image can be read by itself. So
hold-out, order and resume are the same as for other data, exact to the image; only the order keeps to a few
shards at a time (docs/decisions/0022-data-loading-and-training-speed.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from toolchain.errors import BadData
from toolchain.progress import Progress, Quiet
from toolchain.training.check_parts import CheckedPart, Cut, report_images
from toolchain.training.data_problems import require_readable
from toolchain.training.decode import WhiteLevels
from toolchain.training.image_cache import ImageFacts, key_of, one_process_at_a_time
from toolchain.training.image_check import CachedFacts, check_images
from toolchain.training.shard_files import ShardFile, cached_index, keep_index
from toolchain.training.shard_images import ShardImages
from toolchain.training.shard_index import Sample, ShardIndex, read_index
from toolchain.training.shard_names import ShardedData, expand


@dataclass(frozen=True)
class SamplesOfShard:
    """The images of one shard, for checking."""

    shard: ShardFile
    state: str
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def name(self, index: int) -> str:
        return f"{self.samples[index].name} in the shard {self.shard.url}"

    def key(self, index: int) -> bytes:
        sample = self.samples[index]
        return key_of((self.state, sample.offset, sample.size))

    def content(self, index: int) -> bytes:
        return self.shard.read(self.samples[index].offset, self.samples[index].size)


@dataclass(frozen=True)
class CheckedShards:
    """Several shards, and what is known of their images; `problems` name those that cannot be read."""

    shards: tuple[ShardFile, ...]
    groups: tuple[int, ...]  # the shard of each image
    samples: tuple[Sample, ...]
    facts: tuple[ImageFacts | None, ...]
    problems: tuple[str, ...]

    def checked(self, title: str) -> CheckedPart:
        """For the report on both parts."""
        facts = tuple(fact for fact in self.facts if fact is not None)
        return CheckedPart(title, [sample.label for sample in self.samples], facts, self._name)

    def images(self, channels: int, size_px: int, white: WhiteLevels) -> ShardImages:
        """The images as a data set; all of them can be read."""
        columns = [(sample.offset, sample.size, sample.label) for sample in self.samples]
        offsets, sizes, labels = (column.contiguous() for column in torch.tensor(columns, dtype=torch.int64).unbind(1))
        known = [(fact.digest, fact.pixels) for fact in self.facts if fact is not None]
        digests, pixels = (tuple(column) for column in zip(*known, strict=True))
        groups = torch.tensor(self.groups)
        return ShardImages(self.shards, groups, offsets, sizes, labels, channels, size_px, white, digests, pixels)

    def _name(self, index: int) -> str:
        return f"{self.samples[index].name} in {self.shards[self.groups[index]].url}"


def load_shards(
    text: str, channels: int, size_px: int, cut: Cut, progress: Progress
) -> tuple[tuple[str, ...], ShardImages, ShardImages]:
    """Classes (numbers), training images and test images of `TRAIN;TEST`, each a pattern as `expand` takes it.

    Raises:
        BadData: a pattern names no shards, a shard is missing or damaged, or images cannot be read.
    """
    names = ShardedData.parse(text)
    train, test = (read_shards(expand(pattern), names.image_ending, progress) for pattern in (names.train, names.test))
    classes = _require_classes(names, train, test)
    cut(classes, torch.tensor([sample.label for sample in train.samples]))
    problems = (*train.problems, *test.problems)
    require_readable(f"wds:{text}", len(train.samples) + len(test.samples), problems)
    white = report_images((train.checked(names.train), test.checked(names.test)), classes, progress)
    return classes, train.images(channels, size_px, white), test.images(channels, size_px, white)


def _require_classes(names: ShardedData, train: CheckedShards, test: CheckedShards) -> tuple[str, ...]:
    classes = sorted({sample.label for sample in train.samples})
    if classes != list(range(len(classes))) or len(classes) < 2:
        raise BadData(
            f"the classes in the training shards {names.train} are {_few(classes)}: they must be numbers from 0 on "
            f"without a gap, two at least. Write the shards again"
        )
    if unknown := sorted({sample.label for sample in test.samples} - set(classes)):
        raise BadData(
            f"the test shards {names.test} have classes that the training shards lack: {_few(unknown)}. "
            f"Make both from the same classes"
        )
    return tuple(map(str, classes))


def read_shards(urls: tuple[str, ...], image_ending: str | None, progress: Progress) -> CheckedShards:
    """Index each shard and decode its images once, one shard after the other: a remote one is fetched once.

    Raises:
        BadData: a shard is missing, damaged or named twice, or there is no image.
    """
    shards = tuple(map(ShardFile, urls))
    groups: list[int] = []
    samples: list[Sample] = []
    facts: list[ImageFacts | None] = []
    problems: list[str] = []
    helpers = 0
    task = progress.start(f"check {urls[0]} ...", len(shards))
    _require_distinct(shards)
    for number, shard in enumerate(shards):
        index = _index(shard, image_ending)
        files = SamplesOfShard(shard, shard.state(), index.samples)
        with one_process_at_a_time():
            checked = check_images(CachedFacts.of(files), shard.name, Quiet())
        groups += [number] * len(index.samples)
        samples += index.samples
        facts += checked.facts
        problems += checked.problems
        helpers += index.helpers
        task.advance()
    if not samples:
        raise BadData(f"the shards {urls[0]} to {urls[-1]} have no images. Name others")
    if helpers:
        progress.say(f"{urls[0]} ...: skipped {helpers:,} hidden or helper members")
    return CheckedShards(shards, tuple(groups), tuple(samples), tuple(facts), tuple(problems))


def _require_distinct(shards: Sequence[ShardFile]) -> None:
    first: dict[str, ShardFile] = {}
    for shard in shards:
        earlier = first.setdefault(shard.state(), shard)
        if earlier is not shard:
            raise BadData(
                f"the pattern names the shard {shard.url} twice"
                f"{f', also as {earlier.url}' if earlier.url != shard.url else ''}. Name each shard once"
            )


def _index(shard: ShardFile, image_ending: str | None) -> ShardIndex:
    """Read once from the shard's headers, then from the cache."""
    key = f"{shard.state()} image={image_ending}"
    known = cached_index(key)
    if known is None:
        known = read_index(shard.url, shard.local(), image_ending)
        keep_index(key, known)
    return known


def _few(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
