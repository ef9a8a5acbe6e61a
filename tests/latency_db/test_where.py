"""A file or a server: what is taken for which, and that no password is shown."""

from pathlib import Path

import pytest
from sqlalchemy import URL

from latency_db import where
from latency_db.errors import DatabaseUnreachable

SERVER = "postgresql+psycopg://ann:s3cret@farm:5433/latency"


@pytest.mark.parametrize("text", ["latency.sqlite", "a folder/x.sqlite", "/abs/x", "postgresql", "C:x.sqlite"])
def test_a_path_is_a_file(text: str) -> None:
    assert where.parse(text) == Path(text)
    assert where.parse(Path(text)) == Path(text)
    assert where.shown(text) == text


def test_sqlites_own_urls_are_files() -> None:
    assert where.parse("sqlite:///runs/latency.sqlite") == Path("runs/latency.sqlite")
    assert where.parse("sqlite:////abs/latency.sqlite") == Path("/abs/latency.sqlite")


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_a_servers_url_is_driven_by_psycopg(scheme: str) -> None:
    found = where.parse(f"{scheme}://ann:s3cret@farm:5433/latency")
    assert isinstance(found, URL)
    assert (found.drivername, found.host, found.port, found.database) == ("postgresql+psycopg", "farm", 5433, "latency")
    assert found.password == "s3cret"


@pytest.mark.parametrize("text", [SERVER, f"{SERVER}?sslpassword=s3cret&passfile=s3cret&sslmode=require"])
def test_a_password_is_not_shown_and_the_rest_can_be_typed_again(text: str) -> None:
    shown = where.shown(text)
    assert "s3cret" not in shown
    assert "***" not in shown
    again = where.parse(shown)
    assert isinstance(again, URL)
    assert (again.username, again.host, again.password) == ("ann", "farm", None)
    assert where.shown(shown) == shown


@pytest.mark.parametrize(
    "text",
    ["mysql://ann:s3cret@farm/x", "postgresql+psycopg2://ann:s3cret@farm/x", "postgresql://ann:s3cret@farm:port/x"],
)
def test_other_addresses_are_refused_without_the_password(text: str) -> None:
    with pytest.raises(
        DatabaseUnreachable, match=r"Write --db latency\.sqlite for a file, or --db postgresql"
    ) as caught:
        where.parse(text)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in where.shown(text)


def test_a_file_exists_when_it_does_and_a_server_always(tmp_path: Path) -> None:
    assert not where.exists(tmp_path / "x.sqlite")
    (tmp_path / "x.sqlite").touch()
    assert where.exists(str(tmp_path / "x.sqlite"))
    assert where.exists(SERVER)
