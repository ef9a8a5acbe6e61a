"""The part of a report about what its figures come from: versions, target, data, digests, settings and commands."""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from exporters.manifest import sha256
from toolchain.config import Config
from toolchain.run_report.document import FileDigest, Provenance
from toolchain.run_report.run_files import RunFiles
from toolchain.search.winner import Winner
from toolchain.spaces.model_source import PREFIX
from toolchain.units import format_number

FILES = (  # those that figures come from; checkpoints in between and pictures are not
    "env.json",
    "supernet/checkpoint.pt",
    "search/*.jsonl",
    "search/**/best.json",
    "search/front.json",
    "search/finalists/*/*.jsonl",
    "retrain/*/best.pt",
    "retrain/*/result.json",
    "shrink/*.json",
    "shrink/*.onnx",
    "export/**/*",
)
FLAGS = {"latency_ms": "--latency", "macs": "--macs", "params": "--params", "bitops": "--bitops"}
FLAGS |= {"weight_bits": "--weight-bits"}


def provenance(files: RunFiles, winner: Winner | None) -> Provenance:
    """The provenance of a run; `winner` is that of the last budget."""
    space = files.space
    table = files.measurements.table(winner.target, ()) if winner else None
    return Provenance(
        environment=files.environment,
        target_id=winner.target if winner else None,
        profile_runs=winner.profile_runs if winner else (),
        target=table.target.as_dict() if table else {},
        space=space.name,
        space_digest=space.digest,
        blocks=len(space.blocks),
        architectures=format_number(space.size),
        data=files.config.data,
        data_digest=winner.data_digest if winner else None,
        files=tuple(_digests(files.run.folder)),
        settings=files.run.config.read_text(),
        commands=tuple(commands(files)),
    )


def _digests(folder: Path) -> Iterator[FileDigest]:
    paths = {path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(paths):
        yield FileDigest(path=str(path.relative_to(folder)), bytes=path.stat().st_size, sha256=sha256(path))


def commands(files: RunFiles) -> Iterator[str]:
    """The commands that make this run again from its config.toml."""
    config = files.config
    if config.space.startswith(PREFIX) and files.shrink is not None:
        yield f"nastool shrink {quote(config.space.removeprefix(PREFIX))} --config config.toml"
        return
    yield "nastool profile --config config.toml"
    yield "nastool train --config config.toml"
    several = len(files.winners) > 1
    for name, winner in files.winners.items():
        yield f"nastool search --config config.toml{limit_flags(winner)}"
        chosen = f" --budget {quote(name)}" if several else ""
        for stage in ("retrain", "export", "check"):
            yield f"nastool {stage} --config config.toml{chosen}"


def limit_flags(winner: Winner) -> str:
    """` --latency 17ms --macs 330000000`"""
    texts = {name: f"{most!r}ms" if name == "latency_ms" else f"{most:.0f}" for name, most in winner.limits.items()}
    return "".join(f" {FLAGS[name]} {text}" for name, text in texts.items() if name in FLAGS)


def missing_stages(files: RunFiles) -> Iterator[str]:
    """The commands that the run has not finished, for all of its budgets."""
    config = files.config
    if not files.run.supernet.exists():
        yield f"nastool train --run {quote(files.run.folder.name)}{_runs(config)}"
    if not files.winners:
        yield f"nastool search --run {quote(files.run.folder.name)}{_runs(config)}{_limits(config)}"


def missing_of_budget(files: RunFiles, budget: str) -> Iterator[str]:
    """The commands that complete one budget."""
    chosen = f" --budget {quote(budget)}" if len(files.winners) > 1 else ""
    about = f"--run {quote(files.run.folder.name)}{_runs(files.config)}{chosen}"
    if files.winners[budget].architecture not in files.retrained:
        yield f"nastool retrain {about}"
    if files.exports(budget) is None:
        yield f"nastool export {about}"
    if _can_be_checked(files.winners[budget]) and files.verdict(budget) is None:
        yield f"nastool check {about}"


def _can_be_checked(winner: Winner) -> bool:
    """Whether its latency limit is one that a measurement here can be compared with."""
    return "latency_ms" in winner.limits and not winner.estimate and not winner.not_measured


def _runs(config: Config) -> str:
    """The folder of runs, where it is not the default."""
    return "" if config.runs == Path("runs") else f" --runs {quote(str(config.runs))}"


def _limits(config: Config) -> str:
    """The limits in the settings, or a place for one."""
    given = [
        (f"--{name.replace('_', '-')}", value)
        for name in ("latency", "macs", "params", "bitops", "weight_bits")
        for value in getattr(config.search, name)
    ]
    return "".join(f" {flag} {quote(value)}" for flag, value in given) or " --latency LIMIT"
