"""Scripts that generate pages, as modules."""

from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def script() -> Callable[[str], ModuleType]:
    """`script("api-reference")` is the module in scripts/api-reference, which has no ending."""

    def load(name: str) -> ModuleType:
        loader = SourceFileLoader(name, str(SCRIPTS / name))
        spec = spec_from_loader(loader.name, loader)
        assert spec is not None
        module = module_from_spec(spec)
        loader.exec_module(module)
        return module

    return load
