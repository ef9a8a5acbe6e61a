"""Find the choice blocks of a model: modules of its own module tree between two cut points.

A block is a child of a stage (Sequential or ModuleList) that is neither a single layer nor a plain Sequential: resnet's
`layer1.0`, efficientnet's `features.2.1`. The smallest modules between cut points are not meant: a squeeze-excite
module is one. Models without such modules get blocks from the modules that they have, or from pairs of convolutions.
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn
from torch.fx import Node

from toolchain.nets.model_space.cut_points import CutPoints, stack_of
from toolchain.nets.model_space.operators import operator_name
from toolchain.nets.model_space.tracing import CONTAINERS, is_layer

LAYERS_PER_BLOCK = 2  # of a chain of convolutions


@dataclass(frozen=True)
class Span:
    """Nodes first..last of a graph, of a module or (path "") of a chain."""

    path: str
    first: int
    last: int


def block_spans(model: nn.Module, cuts: CutPoints) -> list[Span]:
    """The spans of the choice blocks of `model`, in order; empty if there is none."""
    candidates = _candidates(model, cuts)
    in_stages = [span for span in candidates if _parent_is_stage(model, span.path)]
    chosen = _blocks(candidates, _outermost(in_stages)) or _blocks(candidates, _outermost(candidates))
    return chosen or _chain(model, cuts)


def _candidates(model: nn.Module, cuts: CutPoints) -> list[Span]:
    """All modules with a forward function of their own that lie between two cut points."""
    ranges: dict[str, list[int]] = {}
    for number, node in enumerate(cuts.nodes):
        for key in stack_of(node):
            ranges.setdefault(key, []).append(number)
    spans = []
    for key, numbers in ranges.items():
        path = key.partition("@")[0]
        if path and _has_own_forward(model.get_submodule(path)):
            spans.append(Span(path, numbers[0], numbers[-1]))
    return [span for span in spans if _between_cuts(span, cuts) and _layers(model, cuts, span) >= LAYERS_PER_BLOCK]


def _has_own_forward(module: nn.Module) -> bool:
    plain = any(type(module).forward is container.forward for container in CONTAINERS if hasattr(container, "forward"))
    return not is_layer(module) and not plain


def _between_cuts(span: Span, cuts: CutPoints) -> bool:
    return span.first > 0 and cuts.map_after(span.first - 1) is not None and cuts.map_after(span.last) is not None


def _layers(model: nn.Module, cuts: CutPoints, span: Span) -> int:
    """The number of convolutions and linear layers of a span."""
    nodes = cuts.nodes[span.first : span.last + 1]
    modules = [model.get_submodule(str(node.target)) for node in nodes if node.op == "call_module"]
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in modules)


def _parent_is_stage(model: nn.Module, path: str) -> bool:
    return isinstance(model.get_submodule(path.rpartition(".")[0]), nn.Sequential | nn.ModuleList)


def _outermost(spans: list[Span]) -> list[Span]:
    """Spans that no other one contains, in order."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.first, -span.last)):
        if not kept or span.first > kept[-1].last:
            kept.append(span)
    return kept


def _blocks(candidates: list[Span], outermost: list[Span]) -> list[Span]:
    """The outermost spans; in place of one with several blocks of its own, such as timm's stages, its blocks."""
    chosen = []
    for span in outermost:
        inner = _inside(candidates, span)
        while len(inner) == 1:  # a backbone in a module
            inner = _inside(candidates, inner[0])
        chosen += _blocks(candidates, inner) if inner else [span]
    return chosen


def _inside(candidates: list[Span], span: Span) -> list[Span]:
    return _outermost([other for other in candidates if other.path.startswith(f"{span.path}.")])


def _chain(model: nn.Module, cuts: CutPoints) -> list[Span]:
    """Blocks of two layers each of a chain without a block structure, after its first layer."""
    starts = [
        number
        for number, node in enumerate(cuts.nodes)
        if node.op == "call_module"
        and isinstance(model.get_submodule(str(node.target)), nn.Conv2d)
        and number > 0
        and cuts.map_after(number - 1) is not None
    ]
    firsts = starts[1::LAYERS_PER_BLOCK]
    if len(starts) % LAYERS_PER_BLOCK == 0:  # the last block would have one layer alone
        firsts = firsts[:-1]
    spans = [Span("", first, following - 1) for first, following in pairwise(firsts)]
    return [*spans, *_last(model, cuts, firsts[-1:])]


def _last(model: nn.Module, cuts: CutPoints, first: list[int]) -> list[Span]:
    """The last block of a chain, up to the last cut point of square maps before a global pooling."""
    if not first:
        return []
    pools = (number for number in range(first[0], len(cuts.nodes)) if _is_global_pool(model, cuts.nodes[number]))
    ends = [number for number in range(first[0], next(pools, len(cuts.nodes))) if cuts.map_after(number) is not None]
    return [Span("", first[0], ends[-1])] if ends else []


def _is_global_pool(model: nn.Module, node: Node) -> bool:
    if node.op == "call_module":
        return isinstance(model.get_submodule(str(node.target)), nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d)
    return operator_name(node.target) in ("adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "amax")
