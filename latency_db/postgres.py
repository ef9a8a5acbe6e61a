"""A latency table on a PostgreSQL server, which a team's devices share."""

import os
from platform import node

from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from latency_db.errors import DatabaseUnreachable, LatencyDbError
from latency_db.migrate import revision_name, revision_of, upgrade
from latency_db.schema import SCHEMA_VERSION
from latency_db.where import without_password

CONNECT_TIMEOUT_S = 10
MIGRATING = 0x6E617374  # the advisory lock that is held while tables are made or changed


def open_server(url: URL) -> Engine:
    """An engine for the table behind `url`; tables are made, or brought up to date, in one transaction.

    Raises:
        DatabaseUnreachable: there is no driver, the server does not answer, or it does not let us in.
        NotADatabase, NewerSchema: the tables there are not ours, or of a newer nastool.
    """
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,  # a server may have been started anew between two rounds of a long profile
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": f"nastool process {os.getpid()} on {node()}",
            },
        )
    except ImportError:
        raise DatabaseUnreachable(
            f"{without_password(url)} needs the driver psycopg. Type pip install 'nastool[postgres]'"
        ) from None
    try:
        with engine.begin() as connection:
            if revision_of(connection, without_password(url)) == revision_name(SCHEMA_VERSION):
                return engine
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
            stands_at = revision_of(connection, without_password(url))  # another one may have done it meanwhile
            if stands_at != revision_name(SCHEMA_VERSION):
                upgrade(connection, stands_at)
    except DBAPIError as problem:
        engine.dispose()
        raise explain(url, problem) from None
    except LatencyDbError:
        engine.dispose()
        raise
    return engine


def explain(url: URL, problem: BaseException) -> LatencyDbError:
    """What a failure of the server means, and what to do; never with a password."""
    reason = " ".join(str(getattr(problem, "orig", None) or problem).split())
    if url.password:
        reason = reason.replace(str(url.password), "***")
    return DatabaseUnreachable(
        f"the latency table {without_password(url)} can't be used: {reason}. Check the address, that the server runs "
        f"and that this user may make tables there (the password: PGPASSWORD or ~/.pgpass), or name a file with --db"
    )
