"""Channel search on a fixed block architecture (paper Table 4: block search first, then channel search)."""

import json
from pathlib import Path

from toolchain.errors import BadArchitecture
from toolchain.spaces.core import SearchSpace


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
        try:
            words = [str(word) for word in json.loads(path.read_text())["architecture"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
            raise BadArchitecture(
                f"{str(path)!r} contains no architecture ({type(problem).__name__}: {problem}). "
                f"Give a search's best.json, or the choices themselves, to --fix-ops"
            ) from None
    return tuple(choice.op for choice in space.choices_of(space.architecture(words)))
