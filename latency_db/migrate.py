"""Bring a database's tables to today's schema, all in one transaction of the caller's."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from latency_db.errors import NewerSchema, NotADatabase
from latency_db.schema import SCHEMA_VERSION, Base

VERSION_TABLE = "latency_db_version"  # not Alembic's usual name: a shared server has other programs' as well
SCRIPTS = Path(__file__).parent / "migrations"


def revision_name(version: int) -> str:
    """The migration that makes schema `version`."""
    return f"{version:04}"


def revision_of(connection: Connection, where: str) -> str | None:
    """The migration that a database stands at; None where there are no tables yet.

    Raises:
        NotADatabase: the tables are another program's, or half of ours.
        NewerSchema: it was made by a newer nastool.
    """
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        if clash := sorted(tables & set(Base.metadata.tables)):
            raise NotADatabase(
                f"{where} has a table {clash[0]} that nastool did not make. Name another database or file with --db"
            )
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()
    if len(found) == 1 and not found[0].isdigit():
        raise NotADatabase(f"{where} has the unknown schema {found[0]}. Name another database or file with --db")
    if len(found) == 1 and int(found[0]) > SCHEMA_VERSION:
        raise newer_schema(where, int(found[0]))
    if not found:
        raise NotADatabase(f"{where} is damaged: it does not say which schema it has. Put a copy back")
    return str(found[0])


def upgrade(connection: Connection, stands_at: str | None, version: int = SCHEMA_VERSION) -> None:
    """Run the migrations after `stands_at` (None: all of them) up to the one that makes schema `version`.

    The caller ends the connection's transaction.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if stands_at is not None:
        command.stamp(config, stands_at)
    command.upgrade(config, revision_name(version))


def newer_schema(where: str, version: int) -> NewerSchema:
    return NewerSchema(
        f"{where} has schema {version}, and this nastool knows up to {SCHEMA_VERSION}. "
        f"Type pip install --upgrade nastool, or name another file with --db"
    )
