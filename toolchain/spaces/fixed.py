"""Channel search on a fixed block architecture (paper Table 4: block search first, then channel search)."""

from pathlib import Path

from toolchain.errors import BadArchitecture
from toolchain.files import Document, read_document
from toolchain.spaces.core import SearchSpace


class ArchitectureFile(Document):
    """The part of a best.json that names the architecture."""

    architecture: tuple[str, ...]


def fixed_ops_of(source: str, space: SearchSpace) -> tuple[str, ...]:
    """The op of each choice block.

    Args:
        source: an architecture's text, or the path of a search's best.json.
        space: the space that the architecture belongs to.

    Raises:
        BadArchitecture: the file contains no architecture, or it does not fit the blocks of `space`.
    """
    words: str | list[str] = source
    path = Path(source)
    if path.suffix == ".json":
        remedy = "Give a search's best.json, or the choices themselves, to --fixed-ops"
        words = list(read_document(path, ArchitectureFile, remedy, BadArchitecture).architecture)
    return tuple(choice.op for choice in space.choices_of(space.architecture(words)))
