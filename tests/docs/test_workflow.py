"""The GitHub workflow that users copy is valid YAML, and its command parses."""

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


def test_triggers_permissions_and_actions(workflow: dict[Any, Any]) -> None:
    triggers = workflow[True]  # YAML 1.1 reads the key `on` as true
    assert triggers == {"pull_request": {"paths": ["models/**"]}}
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is False
    for step in workflow["jobs"]["latency"]["steps"]:
        assert ("uses" in step) != ("run" in step)
        assert "uses" not in step or step["uses"].startswith("actions/"), "official actions only"


def test_command_parses(workflow: dict[Any, Any]) -> None:
    (command_line,) = [
        step["run"] for step in workflow["jobs"]["latency"]["steps"] if step.get("run", "").startswith("nastool")
    ]
    assert "\n" not in command_line.strip(), "folded into one line"
    program, command, *words = shlex.split(command_line.partition(" > ")[0])
    assert program == "nastool"
    check = get_command(commands).commands[command]  # type: ignore[attr-defined]
    parameters = check.make_context(command, words).params
    assert str(parameters["file"]) == "candidate/models/model.onnx"
    assert str(parameters["baseline"]) == "base/models/model.onnx"
    assert (parameters["max_regression"], parameters["batch"], parameters["json"]) == ("2%", 8, True)


def test_checkout_paths_match_the_command(workflow: dict[Any, Any]) -> None:
    checkouts = [step["with"] for step in workflow["jobs"]["latency"]["steps"] if "checkout" in step.get("uses", "")]
    assert [checkout["path"] for checkout in checkouts] == ["candidate", "base"]
    assert checkouts[1]["ref"] == "${{ github.base_ref }}"
