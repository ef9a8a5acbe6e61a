"""A file is the old one or the new one, whole."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolchain.errors import RunFolderError
from toolchain.files import write_bytes, write_json


def test_replaces_what_was_there_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on the way" / "file"
    for content in (b"first, longer", b"second"):
        write_bytes(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_json_reads_back(tmp_path: Path) -> None:
    content = {"accuracy": 0.25, "architecture": ["choice_3", "choice_x"], "none": None}
    write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text()) == content


WRITER = """
import sys
from pathlib import Path
from toolchain.files import write_bytes
number = 0
while True:
    write_bytes(Path(sys.argv[1]), (b"%d" % (number % 10)) * 300_000)
    number += 1
    print(number, flush=True)
"""


@pytest.mark.parametrize("after_ms", [0, 3, 7])
def test_killed_while_it_writes_the_file_is_whole(tmp_path: Path, after_ms: int) -> None:
    path = tmp_path / "file"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_ms / 1e3)
    process.kill()
    process.communicate()
    content = path.read_bytes()
    assert len(content) == 300_000
    assert len(set(content)) == 1


FULL = """
import resource, signal, sys
from pathlib import Path
from toolchain.errors import RunFolderError
from toolchain.files import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # what a full disk does to a file that grows
try:
    write_bytes(Path(sys.argv[1]), b"new" * 1000)
except RunFolderError as problem:
    print(problem)
"""


def test_a_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}: File too large. Earlier content is unchanged.")
    assert "Choose a file system for larger files" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"cannot write .*below: .*choose another folder with --runs"):
        write_bytes(tmp_path / "file" / "below", b"content")
