"""The Python API: what a notebook holds in its hands."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from conftest import Scratch

import nmoe_graph
from nmoe_graph import DeclarationError, UsageError, Verdict, Workspace


def test_public_names_are_sorted_and_there() -> None:
    """`__all__` is true, sorted, and is what `dir` shows."""
    names = [name for name in nmoe_graph.__all__ if name != "__version__"]
    assert names == sorted(names)
    assert all(getattr(nmoe_graph, name) is not None for name in nmoe_graph.__all__)
    assert dir(nmoe_graph) == sorted(nmoe_graph.__all__)
    with pytest.raises(AttributeError):
        _ = nmoe_graph.nothing


@pytest.fixture
def answers(scratch: Scratch) -> dict[str, Any]:
    """One of each answer, with hostile text in a place that is shown."""
    scratch.contract("01", slug="a")
    scratch.replace("configs/contracts/01-a.yaml", "  slug: a\n", '  slug: a\n  title: "<script>alert(1)</script>"\n')
    scratch.commit()
    workspace = Workspace.open(scratch.root)
    built = workspace.build("//gates:tier_a")
    scratch.replace("nmoe/a.py", "X = 1", "X = 2")
    return {
        "affected": workspace.affected("HEAD"),
        "build": built,
        "graph": workspace.graph(),
        "lint": workspace.lint(),
        "plan": workspace.plan_merges(base="HEAD"),
        "results": workspace.results(),
        "why": workspace.why("cpu:import", since="HEAD"),
    }


def test_answers_are_frozen_documents(answers: dict[str, Any]) -> None:
    """Each answer is frozen, says its schema, and is JSON."""
    for name, answer in answers.items():
        document = json.loads(json.dumps(answer.to_dict()))
        assert document["schema"] == f"nmoe-graph/{name}@1"
        field = dataclasses.fields(answer)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(answer, field, None)


def test_tables_hold_text_and_no_markup(answers: dict[str, Any]) -> None:
    """Whatever a title says, a notebook shows it and does not run it."""
    for answer in answers.values():
        shown = answer._repr_html_()
        assert shown.startswith("<table>") and shown.endswith("</table>")
        assert "<script>" not in shown


def test_the_graph_is_a_networkx_graph(answers: dict[str, Any]) -> None:
    """Nodes are labels with their kind, edges lead to what is needed."""
    digraph = answers["graph"].to_networkx()
    assert digraph.nodes["//gates:tier_a"]["kind"] == "bundle"
    assert set(digraph.successors("//gates:tier_a")) == {"//gates/cpu:import", "//gates/cpu:compileall"}
    assert len(digraph) == len(answers["graph"])


def test_a_workspace_that_lives_long_sees_later_edits(scratch: Scratch) -> None:
    """Each question takes its snapshot anew."""
    workspace = Workspace.open(scratch.root)
    assert len(workspace.affected("HEAD")) == 0
    scratch.replace("nmoe/a.py", "X = 1", "X = 2")
    assert "//gates/cpu:import" in workspace.affected("HEAD").labels()
    scratch.commit()
    assert len(workspace.affected("HEAD")) == 0
    scratch.write("configs/gates/gates.toml", "nonsense")
    with pytest.raises(DeclarationError):
        workspace.graph()


def test_a_subfolder_opens_the_same_workspace(scratch: Scratch) -> None:
    """From anywhere inside, the workspace is the checkout's."""
    assert Workspace.open(scratch.root / "nmoe").root == Workspace.open(scratch.root).root
    with pytest.raises(UsageError):
        Workspace.open("/")


def test_an_unknown_kind_or_label_is_a_usage_error(scratch: Scratch) -> None:
    """Nothing is silently empty."""
    workspace = Workspace.open(scratch.root)
    with pytest.raises(UsageError, match="kind"):
        workspace.affected("HEAD", kinds=["gates"])
    with pytest.raises(UsageError, match="there is no kind gat"):
        workspace.affected("HEAD", kinds="gat")
    with pytest.raises(UsageError, match="no target"):
        workspace.why("cpu:none")


def test_kinds_are_words_or_a_list_of_them(scratch: Scratch) -> None:
    """As on the command line, a text is words with commas between."""
    workspace = Workspace.open(scratch.root)
    scratch.replace("nmoe/a.py", "X = 1", "X = 2")
    listed = workspace.affected("HEAD", kinds=["gate", "bundle"]).labels()
    assert workspace.affected("HEAD", kinds="gate,bundle").labels() == listed and "//gates:tier_a" in listed


def test_a_workspace_says_where_it_is(scratch: Scratch) -> None:
    """And not at which address of memory."""
    assert repr(Workspace.open(scratch.root / "nmoe")) == f"Workspace({str(scratch.root)!r})"


def test_why_shows_what_a_gate_is_made_of_where_nothing_changed(scratch: Scratch) -> None:
    """A table is never empty: it says whether the gate is proven, and lists its inputs, or what changed since the last proof."""
    workspace = Workspace.open(scratch.root)
    shown = workspace.why("cpu:import")._repr_html_()
    assert "//gates/cpu:import: not proven" in shown and "nmoe/a.py" in shown and "imported via nmoe/__init__.py" in shown
    workspace.build("cpu:import")
    assert "//gates/cpu:import: proven" in workspace.why("cpu:import")._repr_html_()
    scratch.replace("nmoe/a.py", "X = 1", "X = 2")
    shown = Workspace.open(scratch.root).why("cpu:import", since="HEAD")._repr_html_()
    assert "not proven, affected since HEAD" in shown and "an input changed: nmoe/a.py" in shown


def test_build_from_python_judges_as_the_command_does(scratch: Scratch) -> None:
    """A failing gate is a failing report, with its reason and exit code."""
    scratch.write("nmoe/a.py", "raise RuntimeError('broken')\n")
    report = Workspace.open(scratch.root).build(["cpu:import", "cpu:compileall"], keep_going=True)
    verdicts = {gate.label: gate.verdict for gate in report}
    assert verdicts == {"//gates/cpu:import": Verdict.FAILED, "//gates/cpu:compileall": Verdict.PASSED}
    assert (report.exit_code, report.verdict) == (1, Verdict.FAILED)
