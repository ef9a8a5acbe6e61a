"""Which proposals become finalists: half are simple, and one that misses is replaced by the next of its kind."""

import pytest

from toolchain.search.candidate import Candidate
from toolchain.search.finalists.admission import MAX_MISSES, admitted
from toolchain.search.strategies import Scored
from toolchain.spaces.core import Architecture


def architecture(name: str) -> Architecture:
    return Architecture("space", (name,))


def scored(name: str) -> Scored:
    return Scored(architecture(name), 0.5, 0, "evolution")


def candidate(name: str) -> Candidate:
    return Candidate(scored(name), None, None, None)


@pytest.mark.parametrize(
    ("count", "over", "expected"),
    [
        (4, "", "e1 s1 e2 s2"),
        (4, "s1", "e1 e2 s2 s3"),  # not e3
        (4, "e2", "e1 s1 s2 e3"),
        (4, "s1 s2 s3", "e1 e2 e3 e4"),
        (4, "e2 e3 e4", "e1 s1 s2 s3"),
        (3, "s1", "e1 e2 s2"),
        (1, "", "e1"),
        (9, "", "e1 s1 e2 s2 e3 s3 e4"),
    ],
)
def test_a_miss_is_replaced_by_the_next_of_its_kind(count: int, over: str, expected: str) -> None:
    proposals = [scored(name) for name in ["e1", "s1", "e2", "s2", "e3", "s3", "e4"]]
    simple = {architecture(name) for name in ("s1", "s2", "s3")}

    def admit(proposal: Scored) -> Candidate | None:
        (name,) = proposal.architecture.choices
        return None if name in over.split() else candidate(name)

    finalists = admitted(candidate("e1"), proposals, simple, count, admit)
    assert [one.scored.architecture.choices[0] for one in finalists] == expected.split()


def test_the_search_ends_after_many_misses() -> None:
    measured: list[Architecture] = []

    def admit(proposal: Scored) -> None:
        measured.append(proposal.architecture)

    proposals = [scored(f"e{number}") for number in range(50)]
    assert admitted(candidate("e0"), proposals, set(), 4, admit) == [candidate("e0")]
    assert len(measured) == MAX_MISSES
