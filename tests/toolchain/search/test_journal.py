"""The journal: a kill costs the line being written, and nothing else."""

import json
from pathlib import Path

import pytest

from toolchain.errors import BadCheckpoint, RunFolderError
from toolchain.search.journal import Journal

CONTEXT = {"supernet_sha256": "abc", "data": "digits", "seed": 0}
LINES = [{"architecture": ["choice_3", "choice_x"], "accuracy": 0.1 + number / 3} for number in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "search" / "candidates.jsonl"
    journal = Journal(path, CONTEXT)
    for line in LINES:
        journal.append(line)
    assert journal.lines == LINES
    return path


def test_reads_back_and_goes_on(path: Path) -> None:
    before = path.read_bytes()
    journal = Journal(path, CONTEXT)
    assert journal.lines == LINES  # numbers to the last bit
    assert path.read_bytes() == before
    journal.append({"more": 1})
    assert Journal(path, CONTEXT).lines == [*LINES, {"more": 1}]
    assert path.read_bytes().startswith(before)


def test_a_line_is_on_the_disk_before_append_returns(path: Path) -> None:
    journal = Journal(path, CONTEXT)
    for number in range(3):
        journal.append({"number": number})
        assert json.loads(path.read_bytes().splitlines()[-1]) == {"number": number}


def test_torn_at_any_byte_the_whole_lines_stay(path: Path) -> None:
    content = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        whole = sum(end <= cut for end in ends)
        journal = Journal(path, CONTEXT)
        assert journal.lines == LINES[: max(0, whole - 1)], cut
        journal.append({"next": 1})
        assert Journal(path, CONTEXT).lines == [*LINES[: max(0, whole - 1)], {"next": 1}], cut


@pytest.mark.parametrize("damage", [b"\0" * 40, b'{"architecture": ["cho', b"[1, 2]", b"\xff\xfe", b""])
@pytest.mark.parametrize("number", [2, 5])
def test_a_damaged_line_that_ends_is_an_error(path: Path, damage: bytes, number: int) -> None:
    lines = path.read_bytes().splitlines()
    lines[number - 1] = damage
    damaged = b"\n".join(lines) + b"\n"
    path.write_bytes(damaged)
    with pytest.raises(BadCheckpoint, match=rf"line {number} of .*candidates\.jsonl is damaged"):
        Journal(path, CONTEXT)
    assert path.read_bytes() == damaged


def test_another_supernets_journal_is_refused_by_field(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(BadCheckpoint, match="seed was 0 and is now 1"):
        Journal(path, CONTEXT | {"seed": 1})
    with pytest.raises(BadCheckpoint, match="supernet_sha256 was 'abc' and is now 'def'"):
        Journal(path, CONTEXT | {"supernet_sha256": "def"})
    assert path.read_bytes() == before


def test_lines_without_a_context_are_refused(path: Path) -> None:
    path.write_bytes(json.dumps(LINES[0]).encode() + b"\n")
    with pytest.raises(BadCheckpoint, match="supernet_sha256 was None and is now 'abc'"):
        Journal(path, CONTEXT)


def test_what_can_not_be_written_is_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="can't write"):
        Journal(path / "below a file", CONTEXT)
    journal = Journal(path, CONTEXT)
    path.unlink()
    path.mkdir()
    with pytest.raises(RunFolderError, match="can't write"):
        journal.append({"more": 1})
