"""The journal: a kill costs the line that is being written, and nothing else."""

import json
from pathlib import Path

import pytest

from toolchain.errors import BadCheckpoint, BadDocument, RunFolderError
from toolchain.ranking.results import TrainedLine
from toolchain.search.journal import Journal
from toolchain.spaces.core import SearchSpace

FINGERPRINT = {"supernet_sha256": "abc", "data": "digits", "seed": 0}
ARCH = ("choice_3", "choice_x", "choice_3", "choice_5")
LINES = [TrainedLine(architecture=ARCH, repeat=number, accuracy=0.1 + number / 7, seconds=1 / 3) for number in range(4)]
NEXT = TrainedLine(architecture=ARCH, repeat=9, accuracy=1.0, seconds=0.0)


def opened(path: Path, **changes: object) -> Journal[TrainedLine]:
    return Journal(path, FINGERPRINT | changes, TrainedLine)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "search" / "candidates.jsonl"
    journal = opened(path)
    for line in LINES:
        journal.append(line)
    assert journal.lines == LINES
    return path


def test_reads_back_and_appends(path: Path) -> None:
    before = path.read_bytes()
    journal = opened(path)
    assert journal.lines == LINES  # numbers to the last bit
    assert path.read_bytes() == before
    journal.append(NEXT)
    assert opened(path).lines == [*LINES, NEXT]
    assert path.read_bytes().startswith(before)


def test_a_line_is_on_the_disk_before_append_returns(path: Path) -> None:
    opened(path).append(NEXT)
    assert json.loads(path.read_bytes().splitlines()[-1]) == {
        "architecture": ["choice_3", "choice_x", "choice_3", "choice_5"],
        "repeat": 9,
        "accuracy": 1.0,
        "seconds": 0.0,
    }


def test_after_a_cut_at_any_byte_the_complete_lines_remain(path: Path) -> None:
    content = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        complete = LINES[: max(0, sum(end <= cut for end in ends) - 1)]
        journal = opened(path)
        assert journal.lines == complete, cut
        journal.append(NEXT)
        assert opened(path).lines == [*complete, NEXT], cut


@pytest.mark.parametrize("damage", [b"\0" * 40, b'{"architecture": ["cho', b"[1, 2]", b"\xff\xfe", b"", b"[" * 100_000])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_damaged_line_is_an_error(path: Path, damage: bytes, number: int) -> None:
    lines = path.read_bytes().splitlines()
    lines[number - 1] = damage
    damaged = b"\n".join(lines) + b"\n"
    path.write_bytes(damaged)
    with pytest.raises(BadDocument, match=rf"line {number} of .*candidates\.jsonl is damaged: .* Fix or remove"):
        opened(path)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("accuracy", "NaN", r"accuracy: Input should be a finite number \(given: nan\)"),
        ("accuracy", "1e9", r"accuracy: Input should be less than or equal to 1 \(given: 1000000000.0\)"),
        ("accuracy", "-0.1", "accuracy: Input should be greater than or equal to 0"),
        ("accuracy", '"0.5"', r"accuracy: Input should be a valid number \(given: '0.5'\)"),
        ("accuracy", "true", "accuracy: Input should be a valid number"),
        ("seconds", "-Infinity", "seconds: Input should be a finite number"),
        ("repeat", "1.5", "repeat: Input should be a valid integer"),
        ("architecture", '"choice_3"', "architecture: Input should be a valid array"),
        ("architecture", "[3]", "architecture.0: Input should be a valid string"),
    ],
)
def test_a_value_out_of_range_names_the_field(path: Path, key: str, value: str, message: str) -> None:
    line = json.dumps(LINES[0].model_dump(mode="json") | {key: "HERE"}).replace('"HERE"', value)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(BadDocument, match=rf"line 6 of .* is damaged: {message}"):
        opened(path)


def test_an_architecture_of_another_space_is_damage(path: Path, tiny_space: SearchSpace) -> None:
    assert len(Journal(path, FINGERPRINT, TrainedLine, tiny_space).lines) == 4
    for keys in (["choice_3"] * 3, ["choice_3"] * 3 + ["choice_9"], ["choice_3"] * 3 + ["0"]):
        line = LINES[0].model_dump(mode="json") | {"architecture": keys}
        changed = path.with_name("changed.jsonl")
        changed.write_text(path.read_text() + json.dumps(line) + "\n")
        with pytest.raises(BadDocument, match=r"line 6 of .*changed\.jsonl is damaged: architecture: "):
            Journal(changed, FINGERPRINT, TrainedLine, tiny_space)


def test_the_journal_of_another_supernet_is_refused_by_field(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(BadCheckpoint, match="seed was 0 and is now 1"):
        opened(path, seed=1)
    with pytest.raises(BadCheckpoint, match="supernet_sha256 was 'abc' and is now 'def'"):
        opened(path, supernet_sha256="def")
    assert path.read_bytes() == before


def test_a_journal_without_a_result_does_not_block_other_settings(tmp_path: Path) -> None:
    """A command that was killed before its first result leaves only a fingerprint."""
    path = tmp_path / "candidates.jsonl"
    assert not opened(path).restarted
    assert not opened(path).restarted
    assert opened(path, seed=1).restarted
    opened(path, seed=1).append(NEXT)
    with pytest.raises(BadCheckpoint, match="seed was 1 and is now 0"):
        opened(path)


def test_a_journal_of_nastool_0_1_0_is_continued(path: Path) -> None:
    path.write_text(path.read_text().replace('"fingerprint"', '"context"'))
    journal = opened(path)
    assert journal.lines == LINES
    journal.append(NEXT)
    assert opened(path).lines == [*LINES, NEXT]


def test_lines_without_a_fingerprint_are_refused(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(BadDocument, match=r"line 1 of .* is damaged: fingerprint: Field required"):
        opened(path)


def test_what_can_not_be_written_is_named(path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot write"):
        opened(path / "below a file")
    journal = opened(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(RunFolderError, match="cannot write"):
        journal.append(NEXT)
