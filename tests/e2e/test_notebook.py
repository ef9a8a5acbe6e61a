"""The notebook of the docs runs from its first cell to its last in an empty folder."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "examples" / "whole_job.ipynb"
PATIENCE_S = 1200  # for a cell, on a busy machine


@pytest.mark.long
def test_the_whole_job_in_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[2]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=PATIENCE_S, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [printed_by(cell) for cell in notebook.cells if cell.cell_type == "code"]
    assert "architectures, for example" in printed[0]
    assert printed[-1].startswith("pass ")
    assert (tmp_path / "runs/digits/export/model.onnx").exists()


def test_the_stored_outputs_are_of_a_complete_run() -> None:
    """The docs show them."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert printed_by(cells[-1]).startswith("pass ")


def printed_by(cell: nbformat.NotebookNode) -> str:
    """What a cell printed to stdout."""
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
