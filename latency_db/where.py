"""Where a latency table is: a file, or a PostgreSQL server by its URL. Passwords stay out of all that is shown."""

import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from latency_db.errors import DatabaseUnreachable

SECRET = {"password", "sslpassword", "passfile"}
HOW = "Write --db latency.sqlite for a file, or --db postgresql+psycopg://user@host/database"


def parse(where: str | Path) -> Path | URL:
    """A file's path, or a server's URL.

    Raises:
        DatabaseUnreachable: a URL that can't be read, or of another kind of database.
    """
    if isinstance(where, Path) or not re.match(r"[a-z][a-z0-9+]*://", where, re.IGNORECASE):
        return Path(where)
    scheme = where.partition(":")[0]
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        raise DatabaseUnreachable(f"the address {scheme}://... can't be read. {HOW}") from None
    if url.drivername.partition("+")[0] == "sqlite" and url.database:
        return Path(url.database)
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise DatabaseUnreachable(f"nastool keeps its table in SQLite or PostgreSQL, not behind {scheme}://. {HOW}")


def shown(where: str | Path) -> str:
    """The place as it may be printed and written into a run: without a password; it can be given to --db again."""
    try:
        place = parse(where)
    except DatabaseUnreachable:
        return str(where).partition("//")[0] + "//..."
    return str(place) if isinstance(place, Path) else without_password(place)


def without_password(url: URL) -> str:
    """The URL as text, less what must not be seen. PGPASSWORD or ~/.pgpass give the server its password."""
    query = {name: value for name, value in url.query.items() if name not in SECRET}
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query)
    return bare.render_as_string(hide_password=True)


def exists(where: str | Path) -> bool:
    """Whether there is something to open; a server is taken to be there."""
    place = parse(where)
    return place.exists() if isinstance(place, Path) else True
