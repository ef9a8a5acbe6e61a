"""The place of a latency table: a file, or the URL of a PostgreSQL server. Passwords are never printed."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from latency_db.errors import BadAddress

if TYPE_CHECKING:
    from sqlalchemy import URL  # takes longer to import than all else here, and files do not need it

SECRET = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)  # names of query parameters
SCHEME = re.compile(r"\s*([a-z][a-z0-9+.-]+)\s*:\s*/", re.IGNORECASE)  # also of a mistyped URL, e.g. "postgresql:/host"
CREDENTIALS = re.compile(r":[^/]*@")
HOW = "Give --db latency.sqlite for a file, or --db postgresql+psycopg://user@host/database for a server"
UNREADABLE = "an unreadable address"


def parse(where: str | Path) -> "Path | URL":
    """The path of a file, or the URL of a server. `~/` stands for the home folder.

    Raises:
        BadAddress: it is neither; the message never repeats a password.
    """
    if isinstance(where, Path):
        return _file(str(where))
    scheme = SCHEME.match(where)
    if scheme is None and not CREDENTIALS.search(where):
        return _file(where)
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    name = scheme[1].lower() if scheme else "user:password@host"
    try:
        url = make_url(where.strip())
        url = url.set(drivername=url.drivername.lower())
    except (ArgumentError, ValueError):
        raise BadAddress(f"the address that begins with {name} cannot be read as a URL. {HOW}") from None
    if url.drivername.partition("+")[0] == "sqlite":
        return _file(url.database or "")
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise BadAddress(f"nastool keeps its table in SQLite or PostgreSQL, not in {name}. {HOW}")
    if any("@" in str(part) for part in (url.username, url.host, url.database) if part):
        raise BadAddress(
            f"the {name} address has more than one @. Write an @, / or : in a user name or password as %40, %2F or %3A"
        )
    return url.set(drivername="postgresql+psycopg")


def shown(where: str | Path) -> str:
    """The place for messages and run folders: without a password, and valid as --db."""
    try:
        place = parse(where)
    except BadAddress:
        return UNREADABLE
    return str(place) if isinstance(place, Path) else without_password(place)


def without_password(url: "URL") -> str:
    """The URL without its secrets. PGPASSWORD or ~/.pgpass give the server its password."""
    from sqlalchemy import URL

    query = {name: value for name, value in url.query.items() if not SECRET.search(name)}
    public = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query)
    return public.render_as_string(hide_password=True)


def secrets(url: "URL") -> list[str]:
    """The texts in a URL that must not be printed."""
    values = [url.password, *(value for name, value in url.query.items() if SECRET.search(name))]
    return [str(value) for value in values if value]


def exists(where: str | Path) -> bool:
    """Whether there is a table to open. A server is assumed to have one."""
    place = parse(where)
    return place.exists() if isinstance(place, Path) else True


def _file(name: str) -> Path:
    if not name.strip():
        raise BadAddress(f"the name of the latency table is empty. {HOW}")
    if name == ":memory:":
        raise BadAddress(f":memory: would be lost when the command ends. {HOW}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BadAddress(f"the file name {name!a} is not valid UTF-8. {HOW}") from None
    if "\0" in name:
        raise BadAddress(f"the file name {name!a} contains a NUL character. {HOW}")
    if name != "~" and not name.startswith("~/"):
        return Path(name)
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise BadAddress(f"{name} cannot be expanded: this user has no home folder. Give the full path") from None
