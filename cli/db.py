"""`nastool db`: list, show, export, import, compare and prune measured latencies."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console, db_fit, options
from cli.arguments import Command
from cli.configured import configured
from cli.invocation import Invocation
from cli.target_tables import (
    COMPARED_COLUMNS,
    RECORD_COLUMNS,
    RUN_COLUMNS,
    SHORT,
    compared_row,
    estimate,
    record_row,
    run_row,
    show_run,
    warn_of_future,
)

if TYPE_CHECKING:
    from latency_db.store import Store

app = typer.Typer(
    help="List, show, export, import, compare and prune measured latencies.",
    no_args_is_help=True,
)

app.command("fit", cls=Command)(db_fit.db_fit)

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]


@app.command("list", cls=Command)
@configured("db")
def list_targets(invocation: Invocation, json: options.Json = False) -> None:
    """List the targets with measured latencies, with the ids that other commands take."""
    with _opened(invocation) as store:
        measured = [(target, records, store.runs(target)) for target, records in store.targets()]
        name = store.name
    warn_of_future(run for _, _, runs in measured for run in runs)
    if json:
        targets = [
            {"id": target.id, "records": records, "target": target.as_dict(), "runs": [asdict(run) for run in runs]}
            for target, records, runs in measured
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
            records,
            ", ".join(sorted({run.kind for run in runs})),
        )
        for target, records, runs in measured
    ]
    columns = ("id", "device", "backend", "batch", "threads", "records", "runs")
    console.answer_table(f"targets in {name}", columns, rows)


@app.command("show", cls=Command)
@configured("db")
def show(
    invocation: Invocation,
    target_id: Annotated[
        str, typer.Argument(metavar="TARGET", help="Target id, or its first characters.", show_default=False)
    ],
    run: Annotated[int | None, typer.Option("--run", help="Show every round of this run.")] = None,
    json: options.Json = False,
) -> None:
    """Show the fields, runs and records of a target."""
    with _opened(invocation) as store:
        target = store.target(target_id)
        if run is not None:
            show_run(store, target, run, json)
            return
        runs, records = store.runs(target), store.networks(target, "")
    warn_of_future(runs)
    if json:
        console.answer_json(
            {
                "id": target.id,
                "target": target.as_dict(),
                "runs": [asdict(run) for run in runs],
                "records": [asdict(record) for record in records],
            }
        )
        return
    console.answer_facts(f"target {target.id}{estimate(target)}", target.as_dict())
    console.answer_table("runs", RUN_COLUMNS, [run_row(run) for run in runs])
    console.answer_table("records, ms per batch", RECORD_COLUMNS, [record_row(record) for record in records])


@app.command("export", cls=Command)
@configured("db")
def export_table(
    invocation: Invocation,
    file: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    targets: Annotated[
        list[str] | None, typer.Option("--target", help="Export only this target id (repeatable).")
    ] = None,
    force: Force = False,
    json: options.Json = False,
) -> None:
    """Write finished runs with their targets and raw samples to one file, for `db import` on another machine."""
    from latency_db.transfer import pack
    from toolchain.errors import BadConfig
    from toolchain.files import write_json

    if file.is_dir():
        raise BadConfig(f"{file} is a folder. Name a file in it, as {file / 'latencies.json'}")
    if _is_table(file, invocation.config.profile.db):
        raise BadConfig(f"{file} is the latency table itself. Give another file name")
    if file.exists() and not force:
        raise BadConfig(f"{file} exists already. Add --force to replace it, or give another file name")
    with _opened(invocation) as store:
        chosen = [store.target(one) for one in targets] if targets else [target for target, _ in store.targets()]
        packed = pack(store, chosen)
    if not packed.runs:
        raise BadConfig("there is no finished run to export. Run nastool profile, or name another table with --db")
    write_json(file, packed.content)
    answer = {
        "file": str(file),
        "targets": len(packed.target_ids),
        "estimates": sum(c.estimate for c in chosen if c.id in packed.target_ids),
        "runs": packed.runs,
        "sha256": packed.sha256,
    }
    if json:
        console.answer_json(answer)
        return
    named = [f"{c.id[:SHORT]}{estimate(c)}" for c in chosen if c.id in packed.target_ids]
    console.answer_facts("exported", answer | {"targets": f"{len(named)}: {', '.join(named)}"})


@app.command("import", cls=Command)
@configured("db")
def import_table(
    invocation: Invocation,
    file: Annotated[Path, typer.Argument(help="A file of `db export`.", show_default=False)],
    json: options.Json = False,
) -> None:
    """Add the runs of an exported file to the table. Runs that are present already stay unchanged."""
    from latency_db.store import open_store
    from latency_db.transfer import import_file, read_export

    export = read_export(file)  # refused before a table is created
    with open_store(invocation.config.profile.db) as store:
        imported = import_file(store, file)
        name = store.name
    warn_of_future(exported.run for exported in export.runs)
    if imported.hidden:
        console.say(
            f"{imported.hidden} of the added runs measured records that were measured in {name} as well; "
            f"the latencies measured there are used"
        )
    runs = {"runs_added": imported.added, "runs_already_present": imported.already_present}
    _answer("imported", {"file": str(file), "db": name, **runs}, json)


@app.command("diff", cls=Command)
@configured("db")
def diff(
    invocation: Invocation,
    before: Annotated[str, typer.Argument(help="A target id, a file, a URL, or FILE#ID.", show_default=False)],
    after: Annotated[str, typer.Argument(help="The second one, as BEFORE.", show_default=False)],
    json: options.Json = False,
) -> None:
    """Compare two targets, of one table or of two files, record by record."""
    from latency_db.compare import compare, measured

    where = invocation.config.profile.db
    first, second = measured(before, where), measured(after, where)
    difference = compare(first, second)
    if json:
        ids = {"before": first.target.id, "after": second.target.id}
        estimates = {"before_estimate": first.target.estimate, "after_estimate": second.target.estimate}
        console.answer_json({**ids, **estimates, **asdict(difference), "median_ratio": difference.median_ratio})
        return
    names = [f"{side.target.id[:SHORT]}{estimate(side.target)}" for side in (first, second)]
    console.answer_table(
        f"{' and '.join(names)}, ms per batch",
        COMPARED_COLUMNS,
        [compared_row(record) for record in difference.records],
    )
    facts: dict[str, object] = {"targets differ in": "; ".join(difference.fields) or "nothing"}
    if difference.median_ratio is not None:
        facts["median ratio"] = f"{difference.median_ratio:.3f}"
    facts["only before"] = ", ".join(difference.only_before) or "none"
    facts["only after"] = ", ".join(difference.only_after) or "none"
    console.answer_facts("summary", facts)


@app.command("prune", cls=Command)
@configured("db")
def prune(invocation: Invocation, yes: Yes = False, json: options.Json = False) -> None:
    """Remove runs whose records were all measured again later on the same target."""
    from datetime import UTC, datetime

    from latency_db.prune import superseded

    with _opened(invocation) as store:
        old, runs = superseded(store, datetime.now(UTC)), store.runs()
        kept = len(runs) - len(old)
        warn_of_future(runs)
        if old and not yes:
            console.say_table("runs to remove", RUN_COLUMNS, [run_row(run) for run in old])
            typer.confirm(f"Remove {len(old)} of {len(old) + kept} runs from {store.name}?", abort=True, err=True)
        store.remove_runs(run.id for run in old)
        name = store.name
    _answer("pruned", {"db": name, "runs_removed": len(old), "runs_kept": kept}, json)


def _is_table(file: Path, db: str) -> bool:
    from latency_db.where import parse

    table = parse(db)
    return isinstance(table, Path) and file.exists() and table.exists() and file.samefile(table)


def _answer(title: str, facts: dict[str, object], json: bool) -> None:
    if json:
        console.answer_json(facts)
    else:
        console.answer_facts(title, facts)


def _opened(invocation: Invocation) -> "Store":
    """An existing table; none is created just to be read.

    Raises:
        MissingStage: there is none.
    """
    from latency_db.store import open_store
    from latency_db.where import exists, shown
    from toolchain.errors import MissingStage

    where = invocation.config.profile.db
    if not exists(where):
        raise MissingStage(
            f"the latency table {shown(where)} does not exist. Run nastool profile first, or name a table with --db"
        )
    return open_store(where)
