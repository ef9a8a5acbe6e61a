"""A latency table on a PostgreSQL server, which several machines share."""

import os
from platform import node
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from latency_db.errors import DatabaseDamaged, DatabaseUnreachable, LatencyDbError
from latency_db.migrate import InvalidRows, revision_name, revision_of, upgrade
from latency_db.schema import SCHEMA_VERSION
from latency_db.where import secrets, without_password

CONNECT_TIMEOUT_S = 10
MIGRATING = 0x6E617374  # the advisory lock that is held while tables are created or changed


def open_server(url: URL) -> Engine:
    """An engine for the table behind `url`; its tables are created or upgraded in one transaction.

    Raises:
        DatabaseUnreachable: there is no driver, or the server does not answer or refuses access.
        NotADatabase, DatabaseDamaged, NewerSchema: the tables there are not ones that this nastool can use.
    """
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,  # the server may be restarted between two rounds of a long profile
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": f"nastool process {os.getpid()} on {node()}",
            },
        )
    except ImportError:
        raise DatabaseUnreachable(
            f"{without_password(url)} needs the driver psycopg. Run pip install 'psycopg[binary]'"
        ) from None
    try:
        with engine.begin() as connection:
            if revision_of(connection, without_password(url)) == revision_name(SCHEMA_VERSION):
                return engine
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
            revision = revision_of(connection, without_password(url))  # another command may have upgraded meanwhile
            if revision != revision_name(SCHEMA_VERSION):
                upgrade(connection, revision)
    except InvalidRows as problem:
        engine.dispose()
        raise DatabaseDamaged(f"{without_password(url)} is damaged: {problem}. Restore a backup") from None
    except DBAPIError as problem:
        engine.dispose()
        raise explain(url, problem) from None
    except LatencyDbError:
        engine.dispose()
        raise
    return engine


def explain(url: URL, problem: BaseException) -> LatencyDbError:
    """The error for a failure of the server, or for a value that cannot be read. It never contains a password."""
    reason = " ".join(str(getattr(problem, "orig", None) or problem).split())
    for secret in secrets(url):
        reason = reason.replace(secret, "***").replace(quote(secret, safe=""), "***")
    if not isinstance(problem, DBAPIError):
        return DatabaseDamaged(f"the latency table {without_password(url)} is damaged: {reason}. Restore a backup")
    return DatabaseUnreachable(
        f"the latency table {without_password(url)} cannot be used: {reason}. Check the address, that the server runs "
        f"and that this user may create tables there (the password: PGPASSWORD or ~/.pgpass), or name a file with --db"
    )
