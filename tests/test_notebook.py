"""The quickstart notebook runs from top to bottom, and shows what it says."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[Any]:
    nbformat = pytest.importorskip("nbformat", reason="the notebook extra is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the notebook extra is not installed")
    pytest.importorskip("ipykernel", reason="the notebook extra is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "the notebook is stored without outputs"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Any, form: str) -> str:
    return "".join(output.data.get(form, "") for output in cell.outputs if output.output_type == "execute_result")


def test_answers_are_tables(cells: list[Any]) -> None:
    """Graph, builds, affected, why and plan show as HTML tables."""
    tables = [cell for cell in cells if "<table>" in shown(cell, "text/html")]
    assert len(tables) >= 6


def test_the_last_answer_sums_up(cells: list[Any]) -> None:
    """The second build is cached, a comment affects nothing, a value both gates, and the second branch conflicts."""
    summary = ast.literal_eval(shown(cells[-2], "text/plain"))
    assert summary == {
        "cached": True,
        "after a comment": [],
        "after a value": ["//gates/cpu:compileall", "//gates/cpu:import"],
        "statuses": ["ready", "conflict"],
        "conflict": [("demo/config.py",)],
    }
