"""The error about a data set: its problems together, of many the first ones and the number of the others."""

import pytest

from toolchain.errors import BadData
from toolchain.training.data_problems import refuse, require_readable


def test_of_many_problems_the_first_are_listed() -> None:
    problems = [f"problem {number}" for number in range(1234)]
    with pytest.raises(BadData) as caught:
        refuse("images", problems)
    first, *lines = str(caught.value).splitlines()
    assert first == "images has 1,234 problems:"
    assert lines == [*(f"  problem {number}" for number in range(50)), "  and 1,184 more"]


@pytest.mark.parametrize(("count", "last"), [(50, "  file 49"), (51, "  and 1 more")])
def test_of_many_unreadable_images_the_first_are_listed(count: int, last: str) -> None:
    with pytest.raises(BadData) as caught:
        require_readable("images", 2_000, [f"file {number}" for number in range(count)])
    first, *lines = str(caught.value).splitlines()
    assert first == f"images: {count} of 2,000 images cannot be read. Repair or remove these files:"
    assert (len(lines), lines[-1]) == (50 + (count > 50), last)


def test_one_problem_is_the_message() -> None:
    with pytest.raises(BadData, match=r"^file 0$"):
        require_readable("images", 2_000, ["file 0"])
    refuse("images", [])
