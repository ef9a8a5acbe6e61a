"""The size limit of the cache of data: decoded images, and copies of remote shards."""

import os

from toolchain.errors import BadConfig

LIMIT_GB = 20.0


def cache_limit_bytes() -> float:
    """The size limit of decoded images, and that of remote shards: NASTOOL_CACHE_GB, 20 by default.

    Raises:
        BadConfig: it is not a number.
    """
    given = os.environ.get("NASTOOL_CACHE_GB", str(LIMIT_GB))
    try:
        return float(given) * 1e9
    except ValueError:
        raise BadConfig(f"NASTOOL_CACHE_GB is {given!r}, not a number of gigabytes. Write a number, e.g. 20") from None
