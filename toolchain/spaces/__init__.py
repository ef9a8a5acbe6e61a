"""Search spaces by name: `shufflenet_v2`, with options `shufflenet_v2:size_px=160,classes=37`, or a user's own
from a file, `path/to/file.py:my_space`.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from toolchain.errors import UnknownSpace
from toolchain.spaces import fbnet, proxyless, resnet, shufflenet_v2
from toolchain.spaces.core import SearchSpace
from toolchain.spaces.fixed import fixed_ops_of

Make = Callable[[str, Any], SearchSpace]  # (name, numbers) -> space

PRESETS: Mapping[str, tuple[Make, Any]] = {
    "shufflenet_v2": (shufflenet_v2.shufflenet_v2, shufflenet_v2.PAPER),
    "shufflenet_v2_channels": (shufflenet_v2.shufflenet_v2, shufflenet_v2.CHANNELS),
    "shufflenet_v2_joint": (shufflenet_v2.shufflenet_v2, shufflenet_v2.JOINT),
    "shufflenet_v2_quick": (shufflenet_v2.shufflenet_v2, shufflenet_v2.QUICK),
    "proxyless": (proxyless.proxyless, proxyless.DEFAULT),
    "proxyless_mobile": (proxyless.proxyless, proxyless.MOBILE),
    "proxyless_gpu": (proxyless.proxyless, proxyless.GPU),
    "fbnet": (fbnet.fbnet, fbnet.DEFAULT),
    "resnet18_bits": (resnet.resnet, resnet.RESNET18),
    "resnet34_bits": (resnet.resnet, resnet.RESNET34),
}


def load_space(text: str, fixed_ops: str | None = None, widths: str | None = None) -> SearchSpace:
    """The space that `text` names. Lists are joined by `-`: `stage_widths=64-128,stage_repeats=4-2`.

    Args:
        fixed_ops: an architecture or a best.json; its op is then the only one of each choice block.
        widths: multiples of the default mid channels to choose from, as `0.6-0.8-1.0`.

    Raises:
        UnknownSpace: no such name or option, or a value that does not fit.
        BadArchitecture: `fixed_ops` names none of the space.
    """
    options = []
    if fixed_ops is not None:
        options.append(f"fixed_ops={'-'.join(fixed_ops_of(fixed_ops, _named(text)))}")
        widths = widths or "-".join(f"{width:g}" for width in shufflenet_v2.WIDTHS)
    if widths is not None:
        options.append(f"widths={widths}")
    if not options:
        return _named(text)
    return _named(f"{text}{',' if ':' in text else ':'}{','.join(options)}")


def _named(text: str) -> SearchSpace:
    name, _, options = text.partition(":")
    if name.endswith(".py"):
        return _own_space(Path(name), options, text)
    if name not in PRESETS:
        raise UnknownSpace(
            f"unknown space {name!r}. Known spaces: {', '.join(PRESETS)}; your own is path/to/file.py:my_space"
        )
    make, numbers = PRESETS[name]
    changes: dict[str, Any] = {}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        changes[key.strip()] = _parse(numbers, key.strip(), value, text)
    try:
        return make(text, replace(numbers, **changes))
    except ValueError as problem:
        raise UnknownSpace(f"space {text!r}: {problem}") from None


def _parse(numbers: Any, key: str, value: str, text: str) -> Any:
    known = {field.name: field.type for field in fields(numbers)}
    if key not in known:
        raise UnknownSpace(f"space {text!r} has no option {key!r}. Options: {', '.join(known)}")
    read: dict[Any, Callable[[str], Any]] = {
        str: str,
        int: int,
        float: float,
        bool: lambda word: {"true": True, "false": False}[word],
        tuple[int, ...]: lambda words: tuple(map(int, words.split("-"))),
        tuple[float, ...]: lambda words: tuple(map(float, words.split("-"))),
        tuple[str, ...]: lambda words: tuple(words.split("-")),
    }
    try:
        return read[known[key]](value)
    except (ValueError, KeyError):
        raise UnknownSpace(f"space {text!r}: {value!r} is no value for {key}") from None


def _own_space(path: Path, name: str, text: str) -> SearchSpace:
    """`name` of the Python file at `path`; the file's builder functions come with it, if it has some."""
    module = _run(path, text)
    space = getattr(module, name, None)
    if not isinstance(space, SearchSpace):
        there = [key for key, value in vars(module).items() if isinstance(value, SearchSpace)]
        raise UnknownSpace(
            f"{path} defines no SearchSpace {name!r}. It defines {', '.join(there) or 'none'}: "
            f"write --space {path}:{there[0] if there else 'my_space'}"
        )
    if not hasattr(module, "build_block"):
        return replace(space, name=text)
    source = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return replace(space, name=text, builder=module, builder_hash=source)


def _run(path: Path, text: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"nastool_own_space.{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UnknownSpace(f"space {text!r}: {path} is not there. Write --space path/to/file.py:my_space")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses with postponed annotations look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as problem:  # whatever the user's code raises
        raise UnknownSpace(f"{path} can't be loaded: {type(problem).__name__}: {problem}. Mend the file") from problem
    return module
