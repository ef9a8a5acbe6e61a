"""`nastool draw`: the networks that the user named, as parts that can be drawn."""

from collections.abc import Sequence
from pathlib import Path

from toolchain.config import Config
from toolchain.costs.core import TableCost
from toolchain.costs.counters import default_cost_name
from toolchain.errors import BadArchitecture, BadConfig
from toolchain.files import Document, read_document
from toolchain.measuring.from_config import table_target
from toolchain.nets.checked_space import configured_space, load_checked_space
from toolchain.report.blocks import NetworkParts, network_parts
from toolchain.runs import run_of
from toolchain.search.budget import Costs, load_costs
from toolchain.search.winner import select_architecture
from toolchain.spaces.core import Architecture, SearchSpace
from toolchain.spaces.fixed import named_architecture

SUFFIXES = (".svg", ".png")


class ArchitectureOfSpace(Document):
    """The part of a best.json that names the architecture and its space."""

    architecture: tuple[str, ...]
    space: str
    space_digest: str


def networks_to_draw(
    config: Config, sources: Sequence[str], budget: str | None, space_is_given: bool
) -> list[NetworkParts]:
    """The architectures of `sources`; without any, the winner of the run.

    Args:
        sources: paths of best.json, whose space is used unless another one is given, or texts of choices.
        budget: of the run's winner.
        space_is_given: whether the user typed the space.

    Raises:
        UserError: an architecture is not of its space, or a file is damaged.
    """
    if not sources:
        space = configured_space(config)
        arch = select_architecture(None, budget, space, run_of(config)).architecture
        return [_parts(config, space, arch, f"winner of {config.run}")]
    return [_named_parts(config, source, space_is_given) for source in sources]


def picture_paths(out: Path) -> tuple[Path, ...]:
    """The files to write: `out`, or one of each type where it has no suffix.

    Raises:
        BadConfig: another type of file, or a folder.
    """
    if not out.name:
        raise BadConfig(f"--out {out} is a folder. Name a file, as --out picture.svg")
    if out.suffix in SUFFIXES:
        return (out,)
    if out.suffix:
        raise BadConfig(f"--out {out}: pictures are written as .svg or .png. Give one of them, or no suffix for both")
    return tuple(out.with_name(out.name + suffix) for suffix in SUFFIXES)


def drawn_cost(costs: Costs, space: SearchSpace) -> TableCost:
    """What is divided among the blocks: the predicted latency, or MACs or BitOps where it is unknown."""
    return costs.named("latency_ms" if costs.latency else default_cost_name(space))


def _named_parts(config: Config, source: str, space_is_given: bool) -> NetworkParts:
    if Path(source).suffix != ".json" or space_is_given:
        space = configured_space(config)
        title = source if Path(source).suffix == ".json" else "architecture"
        return _parts(config, space, named_architecture(source, space, "nastool draw"), title)
    named = read_document(Path(source), ArchitectureOfSpace, "Give a search's best.json", BadArchitecture)
    space = load_checked_space(named.space)
    if space.digest != named.space_digest:
        raise BadArchitecture(
            f"{source} is of another space {named.space}. Give its --space, and --widths if it had any"
        )
    return _parts(config, space, space.architecture(named.architecture), source)


def _parts(config: Config, space: SearchSpace, arch: Architecture, title: str) -> NetworkParts:
    profile = config.profile
    costs = load_costs(space, table_target(profile, space), profile.db, need_latency=False)
    return network_parts(space, arch, drawn_cost(costs, space), f"{title}: {network_title(costs, space, arch)}")


def network_title(costs: Costs, space: SearchSpace, arch: Architecture) -> str:
    """The space and the costs of an architecture, for the title of its picture."""
    macs = costs.named("macs")
    shown = [f"{macs.format(macs.cost(arch))} MACs"]
    if space.quantized:
        bitops = costs.named("bitops")
        shown.append(f"{bitops.format(bitops.cost(arch))} BitOps")
    if costs.latency:
        predicted = costs.latency.predicted
        shown.append(f"{predicted.format(predicted.cost(arch))} predicted")
    return f"{space.name}, {', '.join(shown)}"
