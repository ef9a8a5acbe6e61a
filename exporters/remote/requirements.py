"""What the Python interpreter of a device needs."""

from collections.abc import Sequence

from exporters.remote.connection import Connection


def missing_packages(connection: Connection, needed: Sequence[str], to_install: str) -> str | None:
    """Which of numpy and onnxruntime the interpreter on the device lacks and what to do about it; None if none.

    Args:
        needed: names of fields of `exporters.remote.messages.Hello` with their versions.
        to_install: the packages for pip.
    """
    hello = connection.hello
    missing = [name for name in needed if not getattr(hello, name)]
    if not missing:
        return None
    return (
        f"{hello.executable} (Python {hello.python}) on {connection.address.machine} cannot import "
        f"{' and '.join(missing)}. Run {hello.executable} -m pip install {to_install} there, or name another "
        f"interpreter, as in ssh://user@host/~/venv/bin/python"
    )
