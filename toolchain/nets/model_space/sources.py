"""Build the model that a space is derived from: torchvision's, timm's, or that of a user's Python file."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from exporters.errors import first_line
from toolchain.errors import UnknownSpace
from toolchain.spaces.model_source import ModelSource
from toolchain.spaces.user_file import execute, failure, printable_path

SEED = 0  # of the initial weights of a model that is built


def build_model(source: ModelSource) -> nn.Module:
    """The model of `source`, with initial weights that do not depend on the state of torch's random generator.

    The options `classes` and `in_channels` are passed on where the model takes them; see `fitting.py` for others.

    Raises:
        UnknownSpace: the library or the file has no such model, or building it fails.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        if source.library == "torchvision":
            return _torchvision(source)
        return _timm(source) if source.library == "timm" else _of_file(source)


def _torchvision(source: ModelSource) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if source.function not in known:
        raise UnknownSpace(_unknown(source, "torchvision.models", known))
    classes = source.options.classes
    arguments: dict[str, Any] = {"num_classes": classes} if classes else {}
    if source.function in ("googlenet", "inception_v3"):
        arguments |= {"aux_logits": False, "init_weights": False}
    return _built(lambda: models.get_model(source.function, weights=None, **arguments), source)


def _timm(source: ModelSource) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise UnknownSpace(f"{source.name} needs the package timm. Install it with pip install nastool[timm]") from None
    if not timm.is_model(source.function):
        raise UnknownSpace(_unknown(source, "timm", timm.list_models()))
    options = source.options
    arguments: dict[str, Any] = {"num_classes": options.classes} if options.classes else {}
    if options.in_channels:
        arguments["in_chans"] = options.in_channels
    return _built(lambda: timm.create_model(source.function, pretrained=False, **arguments), source)


def _built(build: Callable[[], Any], source: ModelSource) -> nn.Module:
    try:
        return cast(nn.Module, build())
    except Exception as problem:  # the errors of these libraries have no common base
        text = first_line(problem)
        raise UnknownSpace(f"{source.library} cannot build {source.function}: {text}. Name another model") from None


def _unknown(source: ModelSource, library: str, known: list[str]) -> str:
    from difflib import get_close_matches

    alike = get_close_matches(source.function, known) or known[:3]
    return f"{library} has no classification model {source.function!r}. Models with similar names: {', '.join(alike)}"


def _of_file(source: ModelSource) -> nn.Module:
    path = Path(source.library)
    module = execute(path, source.name, "model:path/to/file.py:build_model")
    definition = vars(module).get(source.function)
    if definition is None:
        defined = [name for name, value in vars(module).items() if _defines_model(value, module.__name__)]
        defined.sort(key=lambda name: isinstance(vars(module)[name], type))  # functions first
        raise UnknownSpace(
            f"{printable_path(path)} defines no {source.function!r}. It defines {', '.join(defined) or 'no model'}: "
            f"write --space model:{printable_path(path)}:{defined[0] if defined else 'build_model'}"
        )
    if isinstance(definition, nn.Module):
        return definition
    if not callable(definition):
        raise UnknownSpace(
            f"{source.function} in {printable_path(path)} is a {type(definition).__name__}. Name a function that "
            f"returns an nn.Module, an nn.Module, or its class"
        )
    return _called(definition, source, path)


def _called(definition: Callable[..., object], source: ModelSource, path: Path) -> nn.Module:
    try:
        model = definition(**_arguments(definition, source))
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # whatever the user's code raises, exit() included
        raise UnknownSpace(f"{failure(path, problem)}. Correct {source.function} in this file") from problem
    if not isinstance(model, nn.Module):
        raise UnknownSpace(
            f"{source.function} in {printable_path(path)} returns a {type(model).__name__}. Return an nn.Module"
        )
    return model


def _arguments(definition: Callable[..., object], source: ModelSource) -> dict[str, int]:
    """The options that `definition` has parameters for, by their names there."""
    options = source.options
    names = {
        "classes": options.classes,
        "num_classes": options.classes,
        "in_channels": options.in_channels,
        "size_px": options.size_px,
    }
    parameters = inspect.signature(definition).parameters
    return {name: value for name, value in names.items() if value and name in parameters}


def _defines_model(value: object, module: str) -> bool:
    is_own = getattr(value, "__module__", None) == module
    return isinstance(value, nn.Module) or (is_own and callable(value))
