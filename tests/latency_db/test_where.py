"""Addresses of files and servers, and that no password is printed."""

import re
from pathlib import Path

import pytest
from sqlalchemy import URL

from latency_db import where
from latency_db.errors import BadAddress

SERVER = "postgresql+psycopg://ann:s3cret@farm:5433/latency"


@pytest.mark.parametrize("text", ["latency.sqlite", "a folder/x.sqlite", "/abs/x", "postgresql", "C:x.sqlite"])
def test_path_is_a_file(text: str) -> None:
    assert where.parse(text) == Path(text)
    assert where.parse(Path(text)) == Path(text)
    assert where.shown(text) == text


def test_sqlite_urls_are_files() -> None:
    assert where.parse("sqlite:///runs/latency.sqlite") == Path("runs/latency.sqlite")
    assert where.parse("sqlite:////abs/latency.sqlite") == Path("/abs/latency.sqlite")


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_server_url_uses_psycopg(scheme: str) -> None:
    url = where.parse(f"{scheme}://ann:s3cret@farm:5433/latency")
    assert isinstance(url, URL)
    assert (url.drivername, url.host, url.port, url.database) == ("postgresql+psycopg", "farm", 5433, "latency")
    assert url.password == "s3cret"


@pytest.mark.parametrize("text", [SERVER, f"{SERVER}?sslpassword=s3cret&passfile=s3cret&sslmode=require"])
def test_shown_address_has_no_password_and_is_valid(text: str) -> None:
    shown = where.shown(text)
    assert "s3cret" not in shown
    assert "***" not in shown
    again = where.parse(shown)
    assert isinstance(again, URL)
    assert (again.username, again.host, again.password) == ("ann", "farm", None)
    assert where.shown(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "mysql://ann:s3cret@farm/x",
        "postgresql+psycopg2://ann:s3cret@farm/x",
        "postgresql://ann:s3cret@farm:port/x",
        "postgresql:/ann:s3cret@farm/x",
        "postgresql//ann:s3cret@farm/x",
        "ann:s3cret@farm/x",
        " mysql://ann:s3cret@farm/x",
        "postgresql ://ann:s3cret@farm/x",
        "postgresql://ann:p@s3cret@farm/x",
        "postgresql://ann:p@ss/s3cret@farm/x",
        "postgresql://ann@farm:s3cret/x",
        "sqlite:/ann:s3cret@farm",
    ],
)
def test_misread_address_is_refused_without_the_password(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        where.parse(text)
    assert re.search(r"Give --db latency\.sqlite for a file, or --db postgresql|Write an @, / or :", str(caught.value))
    assert "s3cret" not in str(caught.value)
    assert where.shown(text) == "an unreadable address"


def test_spaces_around_a_url_are_ignored() -> None:
    assert where.parse(f" {SERVER} ") == where.parse(SERVER)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the name of the latency table is empty. Give --db latency.sqlite"),
        ("   ", "the name of the latency table is empty."),
        ("sqlite://", "the name of the latency table is empty."),
        (":memory:", ":memory: would be lost when the command ends."),
        ("sqlite:///:memory:", ":memory: would be lost when the command ends."),
        ("a\0b.sqlite", "the file name 'a\\x00b.sqlite' contains a NUL character."),
        ("caf\udce9.sqlite", "the file name 'caf\\udce9.sqlite' is not valid UTF-8."),
    ],
)
def test_name_that_cannot_be_a_file_is_refused(text: str, expected: str) -> None:
    with pytest.raises(BadAddress) as caught:
        where.parse(text)
    assert str(caught.value).startswith(expected)


def test_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert where.parse("~/tables/x.sqlite") == Path("/home/ann/tables/x.sqlite")
    assert where.parse("~x.sqlite") == Path("~x.sqlite")


def test_tilde_without_a_home_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container with a user id that has no passwd entry."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(
        BadAddress, match=r"~/x\.sqlite cannot be expanded: this user has no home folder\. Give the full"
    ):
        where.parse("~/x.sqlite")


def test_server_is_assumed_to_exist(tmp_path: Path) -> None:
    assert not where.exists(tmp_path / "x.sqlite")
    (tmp_path / "x.sqlite").touch()
    assert where.exists(str(tmp_path / "x.sqlite"))
    assert where.exists(SERVER)
