"""The Python API of nastool: `import nastool`. It is documented in docs/api.md; the code is in toolchain/api."""

from toolchain.api import *  # noqa: F403 (the names are listed there, once)
from toolchain.api import __all__ as __all__
