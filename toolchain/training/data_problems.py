"""All that is wrong with a data set, in one error."""

from collections.abc import Callable, Sequence

from toolchain.errors import BadData
from toolchain.training.decode import REPAIR

LISTED = 50  # problems of an error; the others are counted


def collect(*checks: Callable[[], object]) -> list[str]:
    """The messages of the checks that fail with `BadData`."""
    problems = []
    for check in checks:
        try:
            check()
        except BadData as problem:
            problems.append(str(problem))
    return problems


def refuse(name: str, problems: Sequence[str]) -> None:
    """Name the problems together.

    Raises:
        BadData: there are some.
    """
    if len(problems) == 1:
        raise BadData(problems[0])
    if problems:
        raise BadData(f"{name} has {len(problems):,} problems:\n{listed(problems)}")


def require_readable(name: str, images: int, problems: Sequence[str], reason: str = "cannot be read") -> None:
    """Name the damaged images together.

    Args:
        images: the number of all images.

    Raises:
        BadData: there are some.
    """
    if not problems:
        return
    if len(problems) == 1:
        raise BadData(problems[0])
    lines = listed([problem.removesuffix(REPAIR) for problem in problems])
    raise BadData(f"{name}: {len(problems):,} of {images:,} images {reason}. Repair or remove these files:\n{lines}")


def listed(problems: Sequence[str]) -> str:
    """A line for each of the first problems, and the number of the others."""
    lines = [f"  {problem}" for problem in problems[:LISTED]]
    if len(problems) > LISTED:
        lines.append(f"  and {len(problems) - LISTED:,} more")
    return "\n".join(lines)
