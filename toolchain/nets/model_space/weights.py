"""The user's weights in a space that is derived from a model: checked, sorted, and in the names of the supernet."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from toolchain.errors import BadCheckpoint
from toolchain.nets.blocks import STANDALONE
from toolchain.nets.model_space.between import Narrowing
from toolchain.nets.model_space.builder import ModelBuilder
from toolchain.nets.model_space.importance import (
    Importance,
    Magnitude,
    model_name,
    narrowed_weights,
    sorted_weights,
)
from toolchain.nets.model_space.parts import Part
from toolchain.nets.network import Network
from toolchain.nets.supernet import Supernet
from toolchain.nets.weight_files import PREFIXES
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.spaces.model_source import full_architecture

MAX_NAMED = 3  # names in a message
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # of torchvision
OPTIONAL = ("num_batches_tracked",)  # buffers that some programs do not save


@dataclass(frozen=True)
class ModelWeights:
    """A complete state_dict of a space's model in float32, with sorted channels.

    Attributes:
        values: by the model's own names.
        notes: what was changed to make them fit, one sentence each.
    """

    values: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def builder_of_model(space: SearchSpace) -> ModelBuilder | None:
    """The builder of a space that is derived from a model; None for other spaces."""
    return space.builder if isinstance(space.builder, ModelBuilder) else None


def narrowing_of(space: SearchSpace) -> Narrowing | None:
    """What the space removes from the channels between the blocks of its model; None if nothing."""
    builder = builder_of_model(space)
    return None if builder is None else builder.narrowing


def original_space(space: SearchSpace) -> SearchSpace:
    """The space of the user's own model: that with all channels between blocks, which has the same blocks."""
    narrowing = narrowing_of(space)
    return space if narrowing is None else narrowing.original


def has_names_of_model(space: SearchSpace, weights: Mapping[str, Tensor]) -> bool:
    """Whether `weights` have all names of the model that `space` is derived from; nastool's networks have others."""
    builder = builder_of_model(space)
    if builder is None:
        return False
    expected = builder.model.state_dict()
    needed = {
        name for name in expected if not name.endswith(OPTIONAL) and not name.startswith(f"{builder.classifier}.")
    }
    return needed <= set(_with_prefix(weights, expected))


@torch.no_grad()
def model_weights(space: SearchSpace, weights: Mapping[str, Tensor]) -> ModelWeights:
    """`weights`, as `read_weights` gives them, for the model of `space`, sorted by their magnitude.

    The channels between blocks that the space does not have are removed, those of the least magnitude. The classifier
    keeps its initial values if it has another number of classes. In a first convolution for other input channels, each
    filter is the sum over the former channels, divided by the number of the new ones.

    Raises:
        BadCheckpoint: names or shapes differ, or a value is not finite; the first three are named.
    """
    builder = builder_of_model(space)
    assert builder is not None
    fitted = _fitted(original_space(space), weights)
    values = fitted.values
    if builder.narrowing is not None:
        values = narrowed_weights(builder.narrowing, values, Magnitude(values))
    return sorted_by(Magnitude(values), space, ModelWeights(values, fitted.notes))


def _fitted(space: SearchSpace, weights: Mapping[str, Tensor]) -> ModelWeights:
    """`weights` for the model of `space`, with its channels as they are; see `model_weights`."""
    builder = builder_of_model(space)
    assert builder is not None
    expected = builder.model.state_dict()
    notes: list[str] = []
    weights = _without_auxiliary(_with_prefix(weights, expected), expected)
    given = {name: _float(name, value, expected[name]) for name, value in weights.items() if name in expected}
    _fit_ends(builder, space, given, expected, notes)
    problems = list(_mismatches(given, weights, expected))
    if problems:
        more = f", and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
        raise BadCheckpoint(
            f"these weights are not those of {space.name}: {'; '.join(problems[:MAX_NAMED])}{more}. Give weights "
            f"of the same model, saved with torch.save(model.state_dict(), 'weights.pt')"
        )
    for name, value in given.items():
        if not bool(torch.isfinite(value).all()):
            raise BadCheckpoint(f"the weight {name} contains NaN or infinite values. Give other weights")
    return ModelWeights({name: given.get(name, value) for name, value in expected.items()}, tuple(notes))


def initial_weights(space: SearchSpace) -> ModelWeights:
    """The initial weights of the model itself, sorted."""
    builder = builder_of_model(space)
    assert builder is not None
    weights = builder.model.state_dict()
    return sorted_by(Magnitude(weights), space, ModelWeights(weights))


def sorted_by(importance: Importance, space: SearchSpace, weights: ModelWeights) -> ModelWeights:
    """The same weights with channels in another order."""
    builder = builder_of_model(space)
    assert builder is not None
    return ModelWeights(sorted_weights(builder, weights.values, importance), weights.notes)


@torch.no_grad()
def load_into_supernet(weights: ModelWeights, supernet: Supernet) -> None:
    """Copy weights into a supernet of the model's space, for every op of every block."""
    builder = builder_of_model(supernet.space)
    assert builder is not None
    parameters = dict(supernet.named_parameters())
    for prefix, part in _parts(builder):
        for name, value in _of_part(part, weights.values):
            if f"{prefix}.{name}" in parameters:
                parameters[f"{prefix}.{name}"].copy_(value)


def network_state(space: SearchSpace, weights: ModelWeights, arch: Architecture | None = None) -> dict[str, Tensor]:
    """The state_dict of `Network(space, arch, STANDALONE)`: leading slices of the weights, and of the statistics.

    Args:
        arch: default: the original network, `full_architecture(space)`.
    """
    builder = builder_of_model(space)
    assert builder is not None
    with torch.device("meta"):  # shapes without memory
        shapes = Network(space, arch or full_architecture(space), STANDALONE).state_dict()
    state: dict[str, Tensor] = {}
    for prefix, part in _parts(builder):
        own = prefix.partition(".ops.")[0]
        for name, value in _of_part(part, weights.values):
            key = f"{own}.{name}"
            if key in shapes:
                state[key] = value.detach()[tuple(map(slice, shapes[key].shape))].clone()
    return state


def model_state(space: SearchSpace, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict of the space's model by its own names, from that of its original network: undoes `network_state`.

    Its channels stay sorted, which does not change what the model computes.
    """
    builder = builder_of_model(space)
    assert builder is not None
    values = dict(builder.model.state_dict())
    for prefix, part in _parts(builder):
        own = prefix.partition(".ops.")[0]
        for name in _names(part):
            if f"{own}.{name}" in state and model_name(part, name) in values:
                values[model_name(part, name)] = state[f"{own}.{name}"].detach().cpu()
    return values


def _parts(builder: ModelBuilder) -> Iterator[tuple[str, Part]]:
    """All parts with the prefix of their parameters in a supernet."""
    yield "stem", builder.stem
    for number, block in enumerate(builder.blocks):
        yield f"blocks.{number}.ops.{block.op}", block.part
    yield "head", builder.head


def _of_part(part: Part, values: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name in _names(part):
        model = model_name(part, name)
        yield name, values[model] if model in values else part.parameters[name]


def _names(part: Part) -> Iterator[str]:
    """The relative names of all parameters and buffers of a part."""
    for name, layer in part.layers.items():
        yield from (f"{name}.{leaf}" for leaf in layer.state_dict())
    yield from part.parameters


def _with_prefix(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """`weights` with a prefix that all names of the model have, and that `read_weights` has removed."""
    if not set(weights).isdisjoint(expected):
        return weights
    shared = ""
    while more := next((word for word in PREFIXES if all(name.startswith(shared + word) for name in expected)), ""):
        shared += more
    return {f"{shared}{name}": value for name, value in weights.items()}


def _without_auxiliary(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """`weights` without the classifiers that only a training uses, which GoogLeNet and Inception are built without."""
    return {name: value for name, value in weights.items() if name in expected or not name.startswith(AUXILIARY)}


def _float(name: str, value: Tensor, expected: Tensor) -> Tensor:
    """A weight in float32, another value as it is.

    Raises:
        BadCheckpoint: its type cannot be converted.
    """
    plain = value.layout == torch.strided and not value.is_quantized and value.device.type == "cpu"
    if not plain or value.is_complex() or (expected.is_floating_point() and not value.is_floating_point()):
        kind = "without values" if value.device.type == "meta" else f"of the type {value.dtype}, {value.layout}"
        raise BadCheckpoint(f"the weight {name} is {kind}. Give weights in floating point, saved as dense tensors")
    return value.detach().float() if value.is_floating_point() else value.detach()


def _fit_ends(
    builder: ModelBuilder,
    space: SearchSpace,
    given: dict[str, Tensor],
    expected: Mapping[str, Tensor],
    notes: list[str],
) -> None:
    """Leave out a classifier of other classes, and change a first convolution of other input channels."""
    names = [f"{builder.classifier}.{leaf}" for leaf in ("weight", "bias")]
    rows = {name: given[name].shape[0] for name in names if name in given and given[name].dim()}
    if any(count != space.classes for count in rows.values()):
        for name in rows:
            del given[name]
        notes.append(
            f"the weights are for {max(rows.values())} classes and the space has {space.classes}: the classifier "
            f"{builder.classifier} begins with new weights"
        )
    first = f"{builder.first_layer}.weight"
    if first in given and given[first].dim() == 4 and given[first].shape[1] != expected[first].shape[1]:
        channels, before = expected[first].shape[1], given[first].shape[1]
        given[first] = (given[first].sum(1, keepdim=True) / channels).repeat(1, channels, 1, 1)
        notes.append(
            f"the weights are for {before} input channels and the space has {channels}: "
            f"the filters of {first} are summed over the channels, and divided by {channels}"
        )


def _mismatches(
    given: Mapping[str, Tensor], weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> Iterator[str]:
    for name, value in expected.items():
        if name in given:
            if given[name].shape != value.shape:
                yield f"{name} has the shape {tuple(given[name].shape)} instead of {tuple(value.shape)}"
        elif name not in weights and not name.endswith(OPTIONAL):
            yield f"{name} is missing"
    yield from (f"{name[:80]!r} is unknown" for name in weights if name not in expected)
