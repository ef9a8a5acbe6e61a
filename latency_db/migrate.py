"""Upgrade the tables of a database to the current schema in one transaction of the caller."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from latency_db.errors import DatabaseDamaged, NewerSchema, NotADatabase
from latency_db.schema import SCHEMA_VERSION, Base

VERSION_TABLE = "latency_db_version"  # not Alembic's default name: a shared server has tables of other programs
SCRIPTS = Path(__file__).parent / "migrations"


class InvalidRows(ValueError):
    """Rows of an older schema hold values that the current schema refuses; the message names them."""


def revision_name(version: int) -> str:
    """The migration that makes schema `version`."""
    return f"{version:04}"


def revision_of(connection: Connection, where: str) -> str | None:
    """The revision of a database; None if it has no tables yet.

    Raises:
        NotADatabase, DatabaseDamaged: the tables belong to another program, or some are missing.
        NewerSchema: it was made by a newer nastool.
    """
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        if clash := sorted(tables & set(Base.metadata.tables)):
            raise NotADatabase(
                f"{where} has a table {clash[0]} that nastool did not make. Name another database or file with --db"
            )
        return None
    revisions = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()
    if len(revisions) == 1 and not revisions[0].isdecimal():
        raise NotADatabase(f"{where} has the unknown schema {revisions[0]}. Name another database or file with --db")
    if len(revisions) == 1 and int(revisions[0]) > SCHEMA_VERSION:
        raise newer_schema(where, int(revisions[0]))
    if not revisions:
        raise DatabaseDamaged(f"{where} is damaged: it does not name its schema. Restore a copy")
    return str(revisions[0])


def upgrade(connection: Connection, revision: str | None, version: int = SCHEMA_VERSION) -> None:
    """Run the migrations after `revision` (None: all of them) up to the one that makes schema `version`.

    The caller ends the transaction of the connection.

    Raises:
        InvalidRows: rows hold values that the new schema refuses.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if revision is not None:
        command.stamp(config, revision)
    command.upgrade(config, revision_name(version))


def newer_schema(where: str, version: int) -> NewerSchema:
    return NewerSchema(
        f"{where} has schema {version}, and this nastool knows up to {SCHEMA_VERSION}. "
        f"Run pip install --upgrade nastool, or name another file with --db"
    )
