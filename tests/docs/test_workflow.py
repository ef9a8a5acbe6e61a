"""The workflow that users copy: valid YAML, and what it types exists."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cli.main import commands

WORKFLOW = Path(__file__).parents[2] / "docs" / "examples" / "latency-gate.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text())
    return loaded


def test_it_is_a_workflow(workflow: dict[Any, Any]) -> None:
    triggers = workflow[True]  # YAML 1.1 reads `on` as a truth value, and GitHub does not mind
    assert triggers == {"pull_request": {"paths": ["models/**"]}}
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is False
    for step in workflow["jobs"]["latency"]["steps"]:
        assert ("uses" in step) != ("run" in step)
        assert "uses" not in step or step["uses"].startswith("actions/"), "official actions only"


def test_its_command_can_be_typed(workflow: dict[Any, Any]) -> None:
    (typed,) = [
        step["run"] for step in workflow["jobs"]["latency"]["steps"] if step.get("run", "").startswith("nastool")
    ]
    assert "\n" not in typed.strip(), "folded into one line"
    program, command, *words = shlex.split(typed.partition(" > ")[0])
    assert program == "nastool"
    check = get_command(commands).commands[command]  # type: ignore[attr-defined]
    given = check.make_context(command, words).params
    assert str(given["file"]) == "candidate/models/model.onnx"
    assert str(given["baseline"]) == "base/models/model.onnx"
    assert (given["max_regression"], given["batch"], given["json"]) == ("2%", 8, True)


def test_both_sides_are_checked_out_where_the_command_looks(workflow: dict[Any, Any]) -> None:
    checkouts = [step["with"] for step in workflow["jobs"]["latency"]["steps"] if "checkout" in step.get("uses", "")]
    assert [checkout["path"] for checkout in checkouts] == ["candidate", "base"]
    assert checkouts[1]["ref"] == "${{ github.base_ref }}"
