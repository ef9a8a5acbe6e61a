"""What `bench` needs beyond the dependencies of `nastool-check`, which installs neither torch nor matplotlib."""

from importlib.util import find_spec

from toolchain.errors import BadConfig


def require_installed(module: str, what: str) -> None:
    """Check that `module` is installed.

    Args:
        what: what needs it, for the message.

    Raises:
        BadConfig: it is not.
    """
    if find_spec(module) is None:
        raise BadConfig(f"{what} needs {module}, which is not installed here. Install nastool for it")
