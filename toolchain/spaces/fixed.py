"""Channel search on a fixed block architecture (paper Table 4: block search first, then channel search)."""

from pathlib import Path

from toolchain.errors import BadArchitecture
from toolchain.files import Document, read_document
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.spaces.model_source import PREFIX, full_architecture

ORIGINAL = "original"  # the text of the architecture that is the model itself


class ArchitectureFile(Document):
    """The part of a best.json that names the architecture."""

    architecture: tuple[str, ...]


def fixed_ops_of(source: str, space: SearchSpace) -> tuple[str, ...]:
    """The op of each choice block.

    Args:
        source: an architecture's text, or the path of a search's best.json.
        space: the space of the architecture.

    Raises:
        BadArchitecture: the file contains no architecture, or it does not fit the blocks of `space`.
    """
    return tuple(choice.op for choice in space.choices_of(named_architecture(source, space, "--fixed-ops")))


def named_architecture(source: str, space: SearchSpace, flag: str) -> Architecture:
    """The architecture in a text of choices, or in a search's best.json.

    A single choice stands for the network that has it in every block, and `original` for the first choice of every
    block of a model's space: the model itself, with the channels that the space has between blocks.

    Args:
        flag: the flag with this value, for messages.

    Raises:
        BadArchitecture: the file contains no architecture, or it does not fit the blocks of `space`.
    """
    path = Path(source)
    if path.is_dir() and source not in _keys(space):
        raise BadArchitecture(
            f"{path} is a folder, and {flag} takes a search's best.json, such as {path / 'search' / 'best.json'}, or "
            f"the choices themselves"
        )
    if source == ORIGINAL and space.name.startswith(PREFIX):
        return full_architecture(space)
    if source in _keys(space) and not source.isdigit():
        return space.all_same(source)
    if path.suffix != ".json":
        return space.architecture(source)
    remedy = f"Give a search's best.json, or the choices themselves, to {flag}"
    return space.architecture(read_document(path, ArchitectureFile, remedy, BadArchitecture).architecture)


def _keys(space: SearchSpace) -> set[str]:
    return {choice.key for block in space.blocks for choice in block.choices} | set("0123456789")
