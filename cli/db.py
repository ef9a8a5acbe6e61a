"""`nastool db`: look into the table of measured latencies, carry it about, compare, and clear it up."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console, db_fit, options
from cli.target_tables import RUN_COLUMNS, SHORT, estimate, run_row, show_run

if TYPE_CHECKING:
    from latency_db.store import Store

app = typer.Typer(
    help="Look into the table of measured latencies, carry it about, compare, and clear it up.",
    no_args_is_help=True,
)

app.command("fit")(db_fit.fit)

Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


@app.command("list")
def list_stacks(db: options.Db = None, config: options.ConfigFile = None, json: options.Json = False) -> None:
    """List the targets that were measured, each with an id that other commands take."""
    with _opened(db, config) as store:
        found = [(target, parts, store.runs(target)) for target, parts in store.targets()]
        name = store.name
    if json:
        targets = [
            {"id": c.id, "parts": parts, "target": c.as_dict(), "runs": [asdict(run) for run in runs]}
            for c, parts, runs in found
        ]
        console.answer_json({"db": name, "targets": targets})
        return
    rows = [
        (
            target.id[:SHORT],
            target.device_model,
            f"{target.backend} {target.backend_version} {target.compute_precision}{estimate(target)}",
            target.batch,
            target.threads,
            parts,
            ", ".join(sorted({run.kind for run in runs})),
            max((run.finished_at or run.started_at for run in runs), default="")[:10],
        )
        for target, parts, runs in found
    ]
    columns = ("id", "device", "backend", "batch", "threads", "rows", "runs", "last")
    console.answer_table(f"targets in {name}", columns, rows)


@app.command()
def show(
    target_id: Annotated[
        str, typer.Argument(metavar="TARGET", help="Target id, or its first characters.", show_default=False)
    ],
    run: Annotated[int | None, typer.Option("--run", help="One run of it, with every round.")] = None,
    db: options.Db = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """Show a target: what it is, what was measured of it, when and where."""
    with _opened(db, config) as store:
        target = store.target(target_id)
        if run is not None:
            show_run(store, target, run, json)
            return
        runs, rows = store.runs(target), store.networks(target, "")
    if json:
        console.answer_json(
            {
                "id": target.id,
                "target": target.as_dict(),
                "runs": [asdict(one) for one in runs],
                "rows": [asdict(row) for row in rows],
            }
        )
        return
    console.answer_facts(f"target {target.id}{estimate(target)}", target.as_dict())
    console.answer_table("runs", RUN_COLUMNS, [run_row(one) for one in runs])
    console.answer_table(
        "rows, ms a batch",
        ("part", "latency", "median", "p90", "MAD", "samples", "run"),
        [
            (r.key, *(f"{ms:.3f}" for ms in (s.latency_ms, s.median_ms, s.p90_ms, s.mad_ms)), s.n, r.run_id)
            for r in rows
            for s in (r.summary,)
        ],
    )


@app.command("export")
def export_table(
    file: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    targets: Annotated[
        list[str] | None, typer.Option("--target", help="Export only this target id (repeatable).")
    ] = None,
    force: Force = False,
    db: options.Db = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """Write finished runs with their targets and raw samples into one file, which `db import` reads elsewhere."""
    from latency_db.transfer import pack
    from toolchain.errors import BadConfig
    from toolchain.files import write_json

    if file.exists() and not force:
        raise BadConfig(f"{file} is there already. Type --force to replace it, or name another file")
    with _opened(db, config) as store:
        chosen = [store.target(one) for one in targets] if targets else [target for target, _ in store.targets()]
        content = pack(store, chosen)
    if not content["runs"]:
        raise BadConfig("there is no finished run to export. Type nastool profile, or name another table with --db")
    write_json(file, content)
    answer = {
        "file": str(file),
        "targets": len(content["targets"]),
        "estimates": sum(c.estimate for c in chosen if c.id in content["targets"]),
        "runs": len(content["runs"]),
        "sha256": content["sha256"],
    }
    if json:
        console.answer_json(answer)
        return
    named = [f"{c.id[:SHORT]}{estimate(c)}" for c in chosen if c.id in content["targets"]]
    console.answer_facts("exported", answer | {"targets": f"{len(named)}: {', '.join(named)}"})


@app.command("import")
def import_table(
    file: Annotated[Path, typer.Argument(help="A file of `db export`.", show_default=False)],
    db: options.Db = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """Take the runs of an exported file into the table; those that are here already are left as they are."""
    from latency_db.store import open_store
    from latency_db.transfer import read_export, take_in

    read_export(file)  # refused before a table is made
    with open_store(_where(db, config)) as store:
        done = take_in(store, file)
        name = store.name
    _answer(
        "imported", {"file": str(file), "db": name, "runs_added": done.added, "here_already": done.here_already}, json
    )


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A target's id, or a file or URL, or FILE#ID.", show_default=False)],
    after: Annotated[str, typer.Argument(help="What it is compared with.", show_default=False)],
    db: options.Db = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
) -> None:
    """Compare two targets, of one table or of two files, row by row."""
    from latency_db.compare import compare, side

    where = _where(db, config)
    one, other = side(before, where), side(after, where)
    found = compare(one, other)
    if json:
        ids = {"before": one.target.id, "after": other.target.id}
        estimates = {"before_estimate": one.target.estimate, "after_estimate": other.target.estimate}
        console.answer_json({**ids, **estimates, **asdict(found), "median_ratio": found.median_ratio})
        return
    rows = [(r.key, f"{r.before_ms:.3f}", f"{r.after_ms:.3f}", f"{r.ratio:.3f}", f"{r.spread:.1%}") for r in found.rows]
    console.answer_table(
        " and ".join(f"{each.target.id[:SHORT]}{estimate(each.target)}" for each in (one, other)) + ", ms a batch",
        ("part", "before", "after", "after / before", "spread"),
        rows,
    )
    facts: dict[str, Any] = {"targets differ in": "; ".join(found.fields) or "nothing"}
    if found.median_ratio is not None:
        facts["median ratio"] = f"{found.median_ratio:.3f}"
    facts["only before"] = ", ".join(found.only_before) or "none"
    facts["only after"] = ", ".join(found.only_after) or "none"
    console.answer_facts("beside the rows", facts)


@app.command()
def prune(
    yes: Yes = False, db: options.Db = None, config: options.ConfigFile = None, json: options.Json = False
) -> None:
    """Remove runs of which every part was measured again since on the same target."""
    from datetime import UTC, datetime

    from latency_db.prune import superseded

    with _opened(db, config) as store:
        old, kept = superseded(store, datetime.now(UTC)), len(store.runs())
        kept -= len(old)
        if old and not yes:
            console.say_table("runs to remove", RUN_COLUMNS, [run_row(run) for run in old])
            typer.confirm(f"Remove {len(old)} of {len(old) + kept} runs from {store.name}?", abort=True, err=True)
        store.remove_runs(run.id for run in old)
        name = store.name
    _answer("pruned", {"db": name, "runs_removed": len(old), "runs_kept": kept}, json)


def _answer(title: str, facts: dict[str, Any], json: bool) -> None:
    if json:
        console.answer_json(facts)
    else:
        console.answer_facts(title, facts)


def _where(db: str | None, config: Path | None) -> str:
    from toolchain.config import load_config

    return load_config(config, options.flags(profile__db=db)).profile.db


def _opened(db: str | None, config: Path | None) -> "Store":
    """The table that is there; one is not made just to be looked at.

    Raises:
        MissingStage: there is none.
    """
    from latency_db.store import open_store
    from latency_db.where import exists, shown
    from toolchain.errors import MissingStage

    where = _where(db, config)
    if not exists(where):
        raise MissingStage(f"{shown(where)} is not there. Type nastool profile first, or name a table with --db")
    return open_store(where)
