"""Where each image of a shard lies, and its class, read from the tar file's headers.

WebDataset's rules hold: the key of a sample is a member's path up to the first dot of its name, the rest is the
member's ending, and the members of a sample lie side by side.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporters.placeholders import HEAD_BYTES, placeholder
from toolchain.errors import BadData
from toolchain.training.helper_entries import is_helper_path
from toolchain.training.image_suffixes import image_suffixes
from toolchain.training.printable import printable

LABEL_ENDING = "cls"
LABEL_BYTES = 20  # of a class number


@dataclass(frozen=True)
class Sample:
    """Where an image begins in the shard, its bytes, its class, and its member's name."""

    offset: int
    size: int
    label: int
    name: str


@dataclass(frozen=True)
class Member:
    """One file in a shard; `content` is read for class files only."""

    name: str
    offset: int
    size: int
    content: bytes = b""

    @property
    def key(self) -> str:
        folder, slash, name = self.name.rpartition("/")
        return folder + slash + name.partition(".")[0]

    @property
    def ending(self) -> str:
        """What follows the first dot of the name, in lower case: `jpg`, `seg.png`."""
        return self.name.rpartition("/")[2].partition(".")[2].lower()


@dataclass(frozen=True)
class ShardIndex:
    """The samples of a shard, and how many helper members were skipped."""

    samples: tuple[Sample, ...]
    helpers: int


def read_index(url: str, path: Path, image_ending: str | None) -> ShardIndex:
    """Read the headers of the shard at `path`.

    Args:
        url: the shard's name, for messages.
        image_ending: the ending of the members to train on; None where a sample has one image.

    Raises:
        BadData: the shard is damaged, or a sample breaks a rule; the member is named.
    """
    try:
        members, helpers = _members(path)
    except OSError as problem:
        raise BadData(
            f"cannot read the shard {url}: {problem.strerror or problem}. "
            f"Make it readable, or remove it from the pattern"
        ) from None
    except (tarfile.TarError, EOFError) as problem:
        if text := placeholder(_head(path), "a tar file"):
            raise BadData(f"the shard {url} {text}") from None
        raise BadData(
            f"cannot read the shard {url}: {problem}. It must be a tar file without compression. "
            f"Repair it, or remove it from the pattern"
        ) from None
    samples = tuple(_sample(url, key, members, image_ending) for key, members in _groups(url, members))
    return ShardIndex(samples, helpers)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _members(path: Path) -> tuple[list[Member], int]:
    """All files in a tar file but helper entries, and the number of those."""
    members: list[Member] = []
    helpers = 0
    last: tarfile.TarInfo | None = None
    with tarfile.open(path, "r:") as tar:
        for info in tar:
            last = info
            if not info.isfile():
                continue
            if is_helper_path(info.name):
                helpers += 1
                continue
            member = Member(info.name, info.offset_data, info.size)
            if member.ending == LABEL_ENDING and (file := tar.extractfile(info)):
                member = Member(info.name, info.offset_data, info.size, file.read(LABEL_BYTES + 1))
            members.append(member)
    if last is not None:
        _require_complete(path, last)
    return members, helpers


def _require_complete(path: Path, last: tarfile.TarInfo) -> None:
    """Check that zeros follow the `last` member that tarfile finds, and nothing else.

    tarfile takes the end of a truncated file for the end of the archive, and does not read on behind zeros.

    Raises:
        tarfile.ReadError: the shard is truncated, or another archive is appended to it.
    """
    end = last.offset_data + last.size
    end += -end % tarfile.BLOCKSIZE
    size = path.stat().st_size
    if last.offset_data + last.size > size:
        raise tarfile.ReadError(f"it ends in the middle of {last.name}")
    if size - end < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"it is truncated after {last.name}: the zeros that end a tar file are missing")
    with path.open("rb") as file:
        file.seek(end)
        while block := file.read(tarfile.RECORDSIZE):
            if any(block):
                raise tarfile.ReadError(
                    f"data follow the end of the archive behind {last.name}, as of a second tar file"
                )


def _groups(url: str, members: list[Member]) -> Iterator[tuple[str, list[Member]]]:
    """The members of each sample.

    Raises:
        BadData: a sample's members are not side by side.
    """
    groups: dict[str, list[Member]] = {}
    before = None
    for member in members:
        if member.key != before and member.key in groups:
            first = groups[member.key][0].name
            raise BadData(
                f"the members of a sample must lie side by side, and {_named(member.name)} in the shard {url} is apart "
                f"from {_named(first)}. Write the shard sorted by name"
            )
        groups.setdefault(member.key, []).append(member)
        before = member.key
    yield from groups.items()


def _sample(url: str, key: str, members: list[Member], image_ending: str | None) -> Sample:
    image = _image(url, key, members, image_ending)
    labels = [member for member in members if member.ending == LABEL_ENDING]
    if not labels:
        raise BadData(
            f"the sample {_named(key)} in the shard {url} has no class: it lacks {_named(key)}.{LABEL_ENDING} with a "
            f"number{_dotted(key, members)}. Write that shard again"
        )
    if len(labels) > 1:
        raise BadData(_several(url, key, "classes", labels, members))
    return Sample(image.offset, image.size, _label(url, labels[0]), _named(image.name))


def _image(url: str, key: str, members: list[Member], image_ending: str | None) -> Member:
    if image_ending is None:
        images = [member for member in members if f".{member.ending}" in image_suffixes()]
    else:
        images = [member for member in members if member.ending == image_ending]
    if not images:
        expected = f"member {_named(key)}.{image_ending}" if image_ending else "image"
        raise BadData(
            f"the sample {_named(key)} in the shard {url} has no {expected}, only "
            f"{', '.join(_named(member.name) for member in members[:5])}{_dotted(key, members)}. Write that shard again"
        )
    if len(images) > 1:
        raise BadData(_several(url, key, "images", images, members))
    if not images[0].size:
        raise BadData(f"the image {_named(images[0].name)} in the shard {url} is empty. Write that shard again")
    return images[0]


def _several(url: str, key: str, what: str, several: list[Member], members: list[Member]) -> str:
    names = ", ".join(_named(member.name) for member in several[:5])
    text = f"the sample {_named(key)} in the shard {url} has {len(several)} {what}: {names}{_dotted(key, members)}"
    endings = {member.ending for member in several}
    if what == "images" and len(endings) == len(several):
        return f"{text}. Name the one to train on: --data 'wds:TRAIN;TEST?image={sorted(endings)[0]}'"
    return f"{text}. Write that shard again with one of them"


def _dotted(key: str, members: list[Member]) -> str:
    """The rule for keys, where a name with a second dot may have been meant otherwise."""
    dotted = next((member for member in members if "." in member.ending), None)
    if dotted is None:
        return ""
    return (
        f" (a key ends at the first dot of the name: {_named(dotted.name)} is the member {dotted.ending} of "
        f"{_named(key)}; replace further dots by _)"
    )


def _label(url: str, member: Member) -> int:
    text = member.content.decode("utf-8", "backslashreplace").strip()
    if not (text.isascii() and text.isdigit() and len(text) < LABEL_BYTES):
        raise BadData(
            f"the class in {_named(member.name)} in the shard {url} is {text!r}, and must be a number from 0 on. "
            f"Write that shard again"
        )
    return int(text)


def _named(name: str) -> str:
    return printable(name)
