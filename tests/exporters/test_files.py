"""Atomic writes, and paths that cannot be replaced."""

import os
import stat
from pathlib import Path

import pytest

from exporters.files import write_whole


def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(path, b"answer")
        assert os.read(reader, 99) == b"answer"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_the_name_of_an_open_file_is_appended_to(name: str, tmp_path: Path) -> None:
    with (tmp_path / "output").open("wb") as file:
        file.write(b"before ")
        file.flush()
        inode = os.fstat(file.fileno()).st_ino
        write_whole(Path(name.format(file.fileno())), b"answer")
    assert (tmp_path / "output").read_bytes() == b"before answer"
    assert (tmp_path / "output").stat().st_ino == inode


def test_a_device_is_written_and_not_replaced() -> None:
    ours, device = os.openpty()
    try:
        write_whole(Path(os.ttyname(device)), b"answer")
        assert os.read(ours, 99) == b"answer"
    finally:
        os.close(ours)
        os.close(device)
