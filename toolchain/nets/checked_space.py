"""Load a search space; the modules of a user's file or model are built and checked, which needs torch."""

from pathlib import Path

from toolchain.config import Config
from toolchain.errors import UnknownSpace
from toolchain.spaces import load_space
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.model_source import names_model


def load_checked_space(text: str, fixed_ops: str | None = None, widths: str | None = None) -> SearchSpace:
    """The space of a model (`model:...`), or `load_space`; the modules of a user's file are checked too.

    Arguments are those of `load_space`.

    Raises:
        UnknownSpace, BadArchitecture: see `load_space`; or a module cannot be built, or gives another shape than the
            space says.
    """
    if names_model(text):
        if fixed_ops is not None:
            raise UnknownSpace(f"--fixed-ops does not apply to {text!r}: the blocks of a model have one op each")
        from toolchain.nets.model_space.derive import model_space

        return model_space(text, widths)
    space = load_space(text, fixed_ops, widths)
    name = text.partition(":")[0]
    if name.endswith(".py"):
        from toolchain.nets.module_check import check_modules

        check_modules(space, Path(name))
    return space


def configured_space(config: Config) -> SearchSpace:
    """The space that the configuration names, checked.

    Raises:
        UnknownSpace, BadArchitecture: see `load_checked_space`.
    """
    return load_checked_space(config.space, config.fixed_ops, config.widths)
