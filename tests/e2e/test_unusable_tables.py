"""A latency table that cannot be used is refused with its name and what to do."""

import shutil
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

Nastool = Callable[..., Any]
Refused = Callable[..., str]
ARCH = ("--arch", "0 1 2 3")


USES_OF_THE_TABLE = ["profile", "search --latency 1s", "export", ("cost", *ARCH)]


@pytest.mark.parametrize("command", USES_OF_THE_TABLE, ids=lambda words: str(words).split()[0])
def test_table_of_a_newer_nastool(command: str | tuple[str, ...], job: Any, refused: Refused) -> None:
    connection = sqlite3.connect(job.folder / "latency.sqlite")
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    refused(
        job.folder,
        command,
        "latency.sqlite has schema 9",
        "Run pip install --upgrade nastool, or name another file with --db",
    )


@pytest.mark.parametrize("command", USES_OF_THE_TABLE, ids=lambda words: str(words).split()[0])
def test_table_file_that_is_not_a_database(command: str | tuple[str, ...], job: Any, refused: Refused) -> None:
    (job.folder / "latency.sqlite").write_text("a letter to the editor\n" * 100)
    refused(job.folder, command, "latency.sqlite is not a latency table", "Name another file with --db")


def test_database_of_another_program(job: Any, refused: Refused) -> None:
    connection = sqlite3.connect(job.folder / "diary.sqlite")
    connection.execute("CREATE TABLE days (text)")
    connection.close()
    refused(job.folder, "profile --db diary.sqlite", "is a database of another program", "with --db")


def test_table_with_a_damaged_page(job: Any, refused: Refused) -> None:
    table = job.folder / "latency.sqlite"
    content = bytearray(table.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    table.write_bytes(content)
    refused(job.folder, "search --latency 1s", "latency.sqlite is damaged", "remove it and run nastool profile")


def test_table_in_a_folder_that_is_a_file(job: Any, refused: Refused) -> None:
    refused(job.folder, "profile --db nastool.toml/x.sqlite", "the latency table", "--db")
    refused(job.folder, "profile --db runs", "cannot open the latency table runs: it is a folder", "--db")


def test_table_name_with_special_characters(job: Any, nastool: Nastool) -> None:
    """Characters with a meaning in URLs are ordinary characters in a path."""
    odd = "50% of #3? really.sqlite"
    shutil.copy(job.folder / "latency.sqlite", job.folder / odd)
    before = {path: path.read_bytes() for path in job.folder.iterdir() if path.is_file()}
    shown = nastool("cost", *ARCH, "--db", odd, "--json", cwd=job.folder)
    assert shown.code == 0, shown.stderr
    assert shown.json == nastool("cost", *ARCH, "--json", cwd=job.folder).json
    assert {path: path.read_bytes() for path in job.folder.iterdir() if path.is_file()} == before
