"""Derive a search space from a model: `model:torchvision:resnet18`, `model:my_model.py:build_model`."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path

from torch import nn
from torch.fx import Graph, Node

from toolchain.errors import UnknownSpace
from toolchain.nets.model_space.batch_size import read_batch_size_locally
from toolchain.nets.model_space.between import Narrowing, find_narrowing
from toolchain.nets.model_space.block_spans import block_spans
from toolchain.nets.model_space.builder import BlockPart, ModelBuilder, Position
from toolchain.nets.model_space.channel_groups import Freedom, channel_groups
from toolchain.nets.model_space.cut_points import CutPoints, cut_points
from toolchain.nets.model_space.fitting import classifier_name, first_layer_name, fit_classes, fit_input, input_channels
from toolchain.nets.model_space.importance import model_name
from toolchain.nets.model_space.parity import check_parity
from toolchain.nets.model_space.parts import Part, part_of
from toolchain.nets.model_space.prepared import prepared
from toolchain.nets.model_space.residual import adds_input
from toolchain.nets.model_space.shapes import record_shapes, shape_of
from toolchain.nets.model_space.sources import build_model
from toolchain.nets.model_space.tracing import trace
from toolchain.spaces.core import Choice, ChoiceBlock, Head, SearchSpace, Stem, ceil_div
from toolchain.spaces.fixed import ORIGINAL
from toolchain.spaces.model_source import SKIP, ModelSource, at_full_width, model_source

FIXED = "fixed"  # op of a piece between two blocks
IMAGE_CHANNELS = (3, 1)
CHAIN = "chain"  # op of a block of a model without a block structure


def model_space(text: str, widths: str | None = None) -> SearchSpace:
    """The space of the model that `text` names, `model:LIBRARY:NAME[:OPTIONS]`.

    Args:
        widths: multiples of the channels inside a block to choose from, such as `0.5-0.75-1.0`.

    Raises:
        UnknownSpace: there is no such model, it cannot be traced, or none of its blocks has several choices.
    """
    source = model_source(text, widths)
    path = Path(source.library)
    changed = path.stat().st_mtime_ns if source.is_file and path.is_file() else 0
    return _derived(source, changed)


@cache
def _derived(source: ModelSource, changed: int) -> SearchSpace:
    model = prepared(build_model(source), source.name)
    graph = trace(model, source.name)
    fit_classes(model, graph, source)
    image_shape = _recorded(model, graph, source)
    _check_output(graph, source)
    _check_single_use(model, graph, source)
    narrowing = None
    if source.options.between < 1:
        narrowing = _narrowing(model, graph, source, _derived(at_full_width(source), changed))
        narrowing.apply(model)
        record_shapes(model, graph, image_shape, source.name)
    read_batch_size_locally(graph)
    cuts = cut_points(graph)
    stem, blocks, head = _parts(model, graph, cuts, source)
    builder = ModelBuilder(model, stem, blocks, head, first_layer_name(graph), classifier_name(model, graph), narrowing)
    specs = tuple(_spec(block, source) for block in blocks)
    if all(len(spec.choices) == 1 for spec in specs):
        raise UnknownSpace(
            f"{source.name}: no block can be made narrower or left out. {_reasons(blocks)}Use a model with residual "
            f"blocks, or a smaller round_to"
        )
    space = SearchSpace(
        name=source.name,
        family=re.sub(r"\W", "_", source.function),
        in_channels=image_shape[0],
        size_px=source.options.size_px,
        classes=head.output_shape[0],
        stem=Stem(stem.output_shape[0], _stride(source.options.size_px, stem.output_shape[1]) or 1, kernel=1),
        blocks=specs,
        head=Head(channels=0),
        builder=builder,
        builder_hash=_hash(builder),
    )
    if narrowing is None:
        check_parity(space)
    return space


def _recorded(model: nn.Module, graph: Graph, source: ModelSource) -> tuple[int, int, int]:
    """The shape (C, S, S) of images that the model takes; the shapes in its graph are recorded for it.

    Models that first rearrange or repeat the channels take others than their first convolution does.

    Raises:
        UnknownSpace: the model fails, and its first layer cannot be changed.
    """
    given, size_px = source.options.in_channels, source.options.size_px
    problems = []
    for channels in (given,) if given else dict.fromkeys((input_channels(model, graph), *IMAGE_CHANNELS)):
        try:
            record_shapes(model, graph, (channels, size_px, size_px), source.name)
            return channels, size_px, size_px
        except UnknownSpace as problem:
            problems.append(problem)
    if not given:
        raise problems[0]
    fit_input(model, graph, source)
    record_shapes(model, graph, (given, size_px, size_px), source.name)
    return given, size_px, size_px


def _narrowing(model: nn.Module, graph: Graph, source: ModelSource, original: SearchSpace) -> Narrowing:
    """What `between` removes from the model.

    Raises:
        UnknownSpace: no channels can be removed.
    """
    assert isinstance(original.builder, ModelBuilder)
    inside = frozenset(
        (model_name(block.part, name), dim)
        for block in original.builder.blocks
        for group in block.freedom.groups
        for name, dim in group.axes
    )
    choice = Choice(CHAIN, source.options.between, round_to=source.options.round_to)
    narrowing = find_narrowing(original, inside, model, graph, choice)
    if not narrowing.groups:
        raise UnknownSpace(
            f"{source.name}: between={choice.width:g} removes no channels, since their number is a multiple of "
            f"{choice.round_to} (round_to). {_sentences(narrowing.notes)}Give a smaller value, or leave out between"
        )
    return narrowing


def _parts(
    model: nn.Module, graph: Graph, cuts: CutPoints, source: ModelSource
) -> tuple[Part, tuple[BlockPart, ...], Part]:
    """Stem, blocks and head; what lies between two blocks is a block with one choice."""
    spans = block_spans(model, cuts)
    if not spans:
        raise UnknownSpace(
            f"{source.name}: no part of the model can be a choice block. A block has at least two convolutions, takes "
            f"one batch of square maps (N, C, S, S) and gives one; networks of tokens, such as ViT, are not supported"
        )
    nodes = cuts.nodes
    blocks: list[BlockPart] = []
    freedoms: dict[str, Freedom] = {}  # blocks that are built alike have the same
    end = spans[0].first - 1
    stem = part_of(model, nodes[1 : end + 1], nodes[0], _live(cuts, end), "")
    for span in spans:
        if span.first > end + 1:
            piece = part_of(model, nodes[end + 1 : span.first], _live(cuts, end), _live(cuts, span.first - 1), "")
            blocks.append(BlockPart("", FIXED, piece, Freedom(()), False))
        entry, result = _live(cuts, span.first - 1), _live(cuts, span.last)
        part = part_of(model, nodes[span.first : span.last + 1], entry, result, span.path)
        name = _op_name(model.get_submodule(span.path)) if span.path else CHAIN
        if part.signature not in freedoms:
            freedoms[part.signature] = channel_groups(part, _widths(CHAIN, source))
        freedom = freedoms[part.signature]
        blocks.append(BlockPart(span.path, name, part, freedom, adds_input(part)))
        end = span.last
    output = graph.output_node().args[0]
    assert isinstance(output, Node)
    head = part_of(model, nodes[end + 1 :], _live(cuts, end), output, "")
    _check_parameters_of_one_part((stem, *(block.part for block in blocks), head), source)
    return stem, tuple(_distinct(blocks)), head


def _live(cuts: CutPoints, position: int) -> Node:
    value = cuts.map_after(position)
    assert value is not None
    return value


def _op_name(module: nn.Module) -> str:
    """The name of the module's class; with `_block` where it would be taken for something else."""
    name = re.sub(r"\W", "_", type(module).__name__.lower()).strip("_") or "block"
    return f"{name}_block" if name in (SKIP, ORIGINAL) or hasattr(nn.ModuleDict, name) else name


def _distinct(blocks: Sequence[BlockPart]) -> list[BlockPart]:
    """The blocks, where blocks of the same geometry that are built differently have different ops."""
    taken = {block.op for block in blocks}
    ops: dict[tuple[Position, str], str] = {}
    renamed = []
    for block in blocks:
        key = block.position, block.part.signature
        if key not in ops:
            used = {op for (position, _), op in ops.items() if position == block.position}
            numbered = (f"{block.op}_{number}" for number in count(2))
            ops[key] = next(op for op in numbered if op not in used | taken) if used else block.op
        renamed.append(replace(block, op=ops[key]))
    return renamed


def _spec(block: BlockPart, source: ModelSource) -> ChoiceBlock:
    """The block as data: its full width first, then narrower ones, then `skip`."""
    (c_in, size_px, _), (c_out, out_px, _) = block.part.input_shape, block.part.output_shape
    stride = _stride(size_px, out_px)
    kept: dict[tuple[int, ...], Choice] = {}
    for choice in _widths(block.op, source):
        kept.setdefault(tuple(group.kept(choice) for group in block.freedom.groups), choice)
    choices = (*kept.values(), Choice(SKIP)) if block.can_skip else tuple(kept.values())
    return ChoiceBlock(c_in, c_out, size_px, stride or 1, choices, 0 if stride else out_px)


def _widths(op: str, source: ModelSource) -> list[Choice]:
    """A choice for each width, from 1 down. At its own width a block does not depend on the rounding."""
    widths = sorted(source.options.widths, reverse=True)
    return [Choice(op, width, round_to=1 if width == 1 else source.options.round_to) for width in widths]


def _stride(size_px: int, out_px: int) -> int | None:
    """The stride that gives maps of `out_px`; None if there is none."""
    return next((stride for stride in range(1, size_px + 1) if ceil_div(size_px, stride) == out_px), None)


def _check_output(graph: Graph, source: ModelSource) -> None:
    output = graph.output_node().args[0]
    shape = shape_of(output) if isinstance(output, Node) else None
    if shape is None or len(shape) != 2:
        raise UnknownSpace(
            f"the model of {source.name} does not give one tensor of logits (N, classes) in evaluation. Return the "
            f"logits alone"
        )


def _check_single_use(model: nn.Module, graph: Graph, source: ModelSource) -> None:
    """Refuse layers and parameters that are used in two places, since each part has weights of its own."""
    called = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    with_weights = [name for name in called if next(model.get_submodule(name).parameters(), None) is not None]
    twice = [name for name in with_weights if with_weights.count(name) > 1]
    owners: dict[int, str] = {}
    for name, value in model.named_parameters(remove_duplicate=False):
        if owners.setdefault(id(value), name) != name:
            twice.append(name)
    if twice:
        raise _shared(twice[0], source)


def _check_parameters_of_one_part(parts: Sequence[Part], source: ModelSource) -> None:
    """Refuse a parameter that two parts read, since each would train a copy of it."""
    readers: dict[str, Part] = {}
    for part in parts:
        for name, value in part.parameters.items():
            if isinstance(value, nn.Parameter) and readers.setdefault(part.names[name], part) is not part:
                raise _shared(part.names[name], source)


def _shared(name: str, source: ModelSource) -> UnknownSpace:
    return UnknownSpace(
        f"{source.name}: {name} is used in two places, and shared weights are not supported. Give each place a layer "
        f"of its own"
    )


def _reasons(blocks: Sequence[BlockPart]) -> str:
    return _sentences(note for block in blocks for note in block.freedom.notes)


def _sentences(notes: Iterable[str]) -> str:
    """The first three different ones."""
    return "".join(f"{note[0].upper()}{note[1:]}. " for note in list(dict.fromkeys(notes))[:3])


def _hash(builder: ModelBuilder) -> str:
    """8 hex digits that identify the model's structure, whatever its input size and number of classes."""
    parts = (builder.stem, *(block.part for block in builder.blocks), builder.head)
    text = "\n".join(part.structure(without=builder.classifier) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
