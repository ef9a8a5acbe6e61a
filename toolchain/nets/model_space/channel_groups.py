"""The channel groups inside a block that may become narrower.

A group consists of the channels of one or more layers that must be kept or removed together, and that neither the
block's input nor its output has. Each group keeps leading channels, so the weights of a narrower block are slices from
the start of the whole block's (docs/decisions/0012-weight-sharing-by-slicing.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from toolchain.nets.model_space.channel_flow import Axis, ChannelFlow, Mismatch, Narrower, remaining
from toolchain.nets.model_space.labels import LabelSets, unexpanded
from toolchain.nets.model_space.parts import Part
from toolchain.spaces.core import Choice, ceil_div


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are kept or removed together.

    Attributes:
        layer: the first layer that writes them.
        units: number of removable units; a unit of a grouped convolution is one of its groups.
        channels: output channels of `layer`.
        axes: for each axis of a parameter or buffer that has these channels, the entries of one unit.
    """

    layer: str
    units: int
    channels: int
    axes: Mapping[Axis, int]

    def kept(self, choice: Choice) -> int:
        """The number of units that remain at the width of `choice`, at least one."""
        channels = max(1, min(self.channels, choice.mid(self.channels)))
        return ceil_div(channels * self.units, self.channels)


@dataclass(frozen=True)
class Freedom:
    """The channel groups of a block, and why other channels keep their width, one sentence each."""

    groups: tuple[ChannelGroup, ...]
    notes: tuple[str, ...] = ()


def channel_groups(
    part: Part, choices: Sequence[Choice], eligible: Callable[[ChannelGroup], bool] = lambda _: True
) -> Freedom:
    """The groups of a block, or of a whole model, that can take the widths of all `choices`.

    Args:
        eligible: which groups are considered.
    """
    sets = LabelSets()
    entry = sets.fresh(part.input_shape[0])
    sets.fix(entry)
    try:
        whole = ChannelFlow(part, sets, entry)
    except Mismatch as problem:
        return Freedom((), (f"its channels keep their width, since {problem}",))
    sets.fix(whole.result)
    notes = [f"channels that the operator {name} reads or writes keep their width" for name in whole.unknown]
    candidates = [group for group in _candidates(whole, notes) if eligible(group) and _is_saved(part, group, notes)]
    groups = [group for group in candidates if group.channels > max(choice.round_to for choice in choices)]
    narrower = sorted((choice for choice in choices if choice.width < 1), key=lambda choice: choice.width)
    extremes = [narrower[0], narrower[-1]] if narrower else []
    if any(_mismatch(whole, groups, choice) for choice in extremes):
        groups = [group for group in groups if _fits(whole, group, extremes, notes)]
        if any(_mismatch(whole, groups, choice) for choice in extremes):
            notes += [f"the channels of {group.layer} keep their width, since they conflict" for group in groups[1:]]
            groups = groups[:1]
    return Freedom(tuple(groups), tuple(dict.fromkeys(notes)))


def _is_saved(part: Part, group: ChannelGroup, notes: list[str]) -> bool:
    """Whether weights in another order come with all that has these channels; if not, a note says why."""
    buffer = next((name for name, _ in group.axes if name in part.unsaved), None)
    if buffer is not None:
        notes.append(
            f"the channels of {group.layer} keep their width, since the buffer {part.names[buffer]} is not saved with "
            f"the weights (persistent=False)"
        )
    return buffer is None


def _fits(whole: ChannelFlow, group: ChannelGroup, choices: list[Choice], notes: list[str]) -> bool:
    """Whether the block is correct with this group narrower, and all others whole; if not, a note says why."""
    problem = next((text for choice in choices if (text := _mismatch(whole, [group], choice))), None)
    if problem is not None:
        notes.append(f"the channels of {group.layer} keep their width, since {problem}")
    return problem is None


def _candidates(flow: ChannelFlow, notes: list[str]) -> list[ChannelGroup]:
    """The groups of a block in the order of their first layers; `notes` gets a sentence for each that is refused."""
    members: dict[int, int] = {}  # root of a label -> number of its group
    merged = LabelSets()
    merged.fresh(len(flow.outputs))
    for number, vector in enumerate(flow.outputs.values(), 1):
        for root in flow.sets.roots(vector):
            merged.tie(members.setdefault(root, number), number)
    groups = []
    for number, layer in enumerate(flow.outputs, 1):
        if merged.root(number) == number:
            group = _group(flow, layer)
            if group is not None:
                groups.append(group)
            elif not any(map(flow.sets.is_fixed, flow.sets.roots(flow.outputs[layer]))):
                notes.append(
                    f"the channels of {layer} keep their width: they are split or concatenated, so that "
                    f"fewer of them would not be leading slices of the weights"
                )
    return groups


def _group(flow: ChannelFlow, layer: str) -> ChannelGroup | None:
    """The group that `layer` begins; None if a part of it is fixed, or its channels are not in the same order."""
    roots = flow.sets.roots(flow.outputs[layer])
    order = tuple(dict.fromkeys(roots))
    if any(map(flow.sets.is_fixed, order)) or _unit(roots, order) is None:
        return None
    axes: dict[Axis, int] = {}
    for axis, vector in flow.axes.items():
        of_axis = flow.sets.roots(vector)
        if set(of_axis).isdisjoint(order):
            continue
        unit = _unit(of_axis, order)
        if unit is None:
            return None
        axes[axis] = unit
    return ChannelGroup(layer, len(order), len(roots), axes)


def _unit(roots: tuple[int, ...], order: tuple[int, ...]) -> int | None:
    """The number of consecutive entries of each root, where all have the same number and are in `order`."""
    unit, rest = divmod(len(roots), len(order))
    if rest or roots != tuple(root for root in order for _ in range(unit)):
        return None
    return unit


def _mismatch(whole: ChannelFlow, groups: list[ChannelGroup], choice: Choice) -> str | None:
    """What is wrong with the block where `groups` have the width of `choice`; None if it is correct."""
    sets = whole.sets
    removed = {root for group in groups for root in _order(whole, group)[group.kept(choice) :]}
    try:
        part = ChannelFlow(whole.part, sets, _entry(whole), Narrower(whole, frozenset(removed)))
    except Mismatch as problem:
        return str(problem)
    for name, before, after in _compared(whole, part):
        if sets.roots(remaining(before, sets, removed)) != sets.roots(after):
            return f"{name} would read other channels than before"
    if unexpanded(whole.result).tolist() != unexpanded(part.result).tolist():
        return "the output would change"
    return None


def _order(flow: ChannelFlow, group: ChannelGroup) -> tuple[int, ...]:
    return tuple(dict.fromkeys(flow.sets.roots(flow.outputs[group.layer])))


def _entry(flow: ChannelFlow) -> Tensor:
    placeholder = next(iter(flow.part.graph.nodes))
    labels: Tensor = flow.values[placeholder]
    return labels[0, :, 0, 0]


def _compared(whole: ChannelFlow, part: ChannelFlow) -> list[tuple[str, Tensor, Tensor]]:
    inputs = [(name, vector, part.inputs[name]) for name, vector in whole.inputs.items()]
    return inputs + [(name, vector, part.axes[name, dim]) for (name, dim), vector in whole.axes.items()]
