"""Errors of a server name the reason and the remedy, and never a password."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

from latency_db.errors import DatabaseUnreachable, NotADatabase
from latency_db.runs import NewRun
from latency_db.store import open_store
from latency_db.table import Sample
from latency_db.target import Target

NOWHERE = "postgresql+psycopg://ann:s3cret@127.0.0.1:1/latency"  # no server listens on port 1


def shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def refused(where: str, *expected: str) -> None:
    with pytest.raises(DatabaseUnreachable) as caught:
        open_store(where)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "s3cret" not in message
    assert "***" not in message
    for piece in ("cannot be used", "or name a file with --db", *expected):
        assert piece in message


def test_no_server() -> None:
    refused(NOWHERE, "postgresql+psycopg://ann@127.0.0.1:1/latency", "refused")


def test_no_such_host() -> None:
    refused("postgresql://ann:s3cret@no-such-host.invalid/latency", "no-such-host.invalid")


def test_no_such_database(server: URL) -> None:
    refused(shown(server.set(database="never_made", password="s3cret")), '"never_made" does not exist', "PGPASSWORD")


def test_no_such_user(server: URL) -> None:
    refused(shown(server.set(username="nobody_here", password="s3cret")), '"nobody_here" does not exist')


@pytest.fixture
def may_not_write(server: URL, new_database: Callable[[], URL]) -> Iterator[URL]:
    """A user who can log in but not create tables."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    url = new_database()
    schema = str(url.query["options"]).removeprefix("-csearch_path=")
    with engine.connect() as connection:
        connection.execute(text("CREATE ROLE reader LOGIN"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO reader"))
    yield url.set(username="reader")
    with engine.connect() as connection:
        connection.execute(text("DROP OWNED BY reader"))
        connection.execute(text("DROP ROLE reader"))
    engine.dispose()


def test_user_without_permission_to_create_tables(may_not_write: URL) -> None:
    refused(shown(may_not_write), "permission denied", "may create tables there")


def test_tables_of_another_program_stay_unchanged(new_database: Callable[[], URL]) -> None:
    url = new_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE samples (blood text)"))
    with pytest.raises(NotADatabase, match=r"has a table samples that nastool did not make"):
        open_store(shown(url))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM samples")) == 0
    engine.dispose()


def test_tables_of_other_programs_may_coexist(new_database: Callable[[], URL], target: Target) -> None:
    """With their own migrations under Alembic's default name."""
    url = new_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('c0ffee')"))
    engine.dispose()
    for _ in range(2):
        with open_store(shown(url)) as store:
            assert store.targets() == []


def test_run_continues_after_the_server_dropped_the_connection(
    server: URL, new_database: Callable[[], URL], target: Target
) -> None:
    """As if it was restarted between two rounds of a long profile."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with open_store(shown(new_database())) as store:
        run = store.begin_run(target, {"stem": "hash"}, NewRun("space", "digest", "1", 2))
        with engine.connect() as connection:
            ended = connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name LIKE 'nastool process %' AND pid <> pg_backend_pid()"
                )
            ).all()
            assert ended
        store.add_round(run, 0, {"stem": Sample(1, 1.0, 1.0, 1.0, 1.0)})
        assert len(store.samples(run)) == 1
    engine.dispose()


def test_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)  # as if it were not installed
    with pytest.raises(DatabaseUnreachable, match=r"needs the driver psycopg\. Run pip install 'psycopg\[binary\]'"):
        open_store(NOWHERE)


def test_password_of_a_server_is_not_written_into_a_run(tmp_path: Path) -> None:
    from toolchain.config import parse_config

    config = parse_config("", {"profile.db": NOWHERE}, "test")
    assert config.profile.db == NOWHERE
    assert "s3cret" not in config.as_toml()
    assert parse_config(config.as_toml(), {}, "again").profile.db == NOWHERE.replace(":s3cret", "")
