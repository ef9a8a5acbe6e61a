"""The first code that a remote device runs: it imports the modules that were sent with it, and starts the agent."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType


class SentModules:
    """Finds and loads modules from their sources, before any that are installed on the device."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The spec of a module that was sent."""
        if name not in self.sources:
            return None
        is_package = any(other.startswith(name + ".") for other in self.sources)
        # typeshed asks for more of a loader than the import system does
        return spec_from_loader(name, self, is_package=is_package)  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:
        """The default module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the source of a module."""
        name = module.__name__
        exec(compile(self.sources[name], f"<{name}>", "exec"), module.__dict__)


def start(sources: dict[str, str]) -> None:
    """Answer requests on the standard streams until they are closed.

    Args:
        sources: of all modules by name, with their packages.
    """
    sent = SentModules(sources)
    sys.meta_path.insert(0, sent)
    from exporters.agent.main import main

    main(sent.sources)
