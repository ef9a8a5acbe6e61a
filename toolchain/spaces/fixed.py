"""Channel search on a block architecture that was found before (paper Table 4: block search, then channels)."""

import json
from pathlib import Path

from toolchain.errors import BadArchitecture
from toolchain.spaces.core import SearchSpace


def fixed_ops_of(source: str, space: SearchSpace) -> tuple[str, ...]:
    """The op of each choice block, from an architecture's text or from the best.json of a search.

    Raises:
        BadArchitecture: the file holds no architecture, or it does not fit the blocks of `space`.
    """
    words: str | list[str] = source
    path = Path(source)
    if path.suffix == ".json":
        try:
            words = [str(word) for word in json.loads(path.read_text())["architecture"]]
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise BadArchitecture(
                f"{path} holds no architecture ({type(problem).__name__}: {problem}). "
                f"Give a search's best.json, or the choices themselves, to --fix-ops"
            ) from None
    return tuple(choice.op for choice in space.choices_of(space.architecture(words)))
