"""Keys found by replacing one entry: equal to those of an analysis, or refused."""

from __future__ import annotations

import random

import pytest
from conftest import Scratch, add_gate

from nmoe_graph import Workspace
from nmoe_graph.digest.analysis import Analysis
from nmoe_graph.digest.patched import Patched
from nmoe_graph.git.snapshot import Snapshot
from nmoe_graph.inputs.files import FileReader

EDITS = {
    "a value": lambda text: text + "V = 1\n",
    "a comment": lambda text: text + "# note\n",
    "an import": lambda text: text + "from . import b\n",
    "a lazy import": lambda text: text + "def f():\n    import nmoe.c\n",
    "what cannot be parsed": lambda text: text + "def (\n",
    "a dynamic import": lambda text: text + "import importlib\nimportlib.import_module(X)\n",
    "all": lambda text: text + "__all__ = ['b']\n",
}


@pytest.mark.parametrize("seed", range(6))
def test_patched_keys_are_those_of_an_analysis(scratch: Scratch, seed: int) -> None:
    """Chains of random edits, one upon the other: every table that is given is the one that a full analysis gives."""
    scratch.write("nmoe/c.py", "C = 1\n")
    scratch.write("nmoe/odd.py", "def (\n")
    scratch.write("tests/test_a.py", "import nmoe.c\n")
    add_gate(scratch, "cpu:lint", "ruff check nmoe")
    scratch.replace("configs/gates/gates.toml", "inputs = [\"docs/a.txt\"]\ninfer = false\ncmd = '''ruff", "cmd = '''ruff")
    scratch.replace(
        "configs/gates/gates.toml",
        "[bundles]",
        '[gates."cpu:pytest"]\ntier = "a"\ntimeout_s = 30\ncmd = "python -m pytest tests"\n\n'
        '[gates."perf:train"]\ntier = "b"\nkind = "perf"\ntimeout_s = 0\ncompare_gate = "b200:train"\nmetric = "tps"\n\n[bundles]',
    )
    base = scratch.commit()
    ws = Workspace.open(scratch.root)
    objects = ws.repository.objects
    first = Analysis(ws.repository.at(base), ws.memo)
    patched = Patched(first, objects, FileReader(objects, ws.memo))
    rng = random.Random(seed)
    tree = first.snapshot.tree
    answered = refused = moved = 0
    for _ in range(40):
        path = rng.choice(["nmoe/a.py", "nmoe/b.py", "nmoe/c.py", "nmoe/odd.py", "nmoe/train.py", "tests/test_a.py", "docs/a.txt"])
        name = rng.choice([*EDITS, "a value", "a value", "a comment"])
        text = Snapshot(objects, tree, "").read(path) or b""
        new = objects.overlay(tree, {path: (0o100644, objects.keep_blob(EDITS[name](text.decode()).encode()))})
        if rng.random() < 0.1:
            new = objects.overlay(new, {f"nmoe/n{rng.randrange(9)}.py": (0o100644, objects.keep_blob(b"N = 1\n"))})
        found = patched.gates(tree, new)
        whole = Analysis(Snapshot(objects, new, "new")).table()
        if found is None:
            refused += 1
            continue
        answered += 1
        truth = {label: row for label, row in whole.items() if row.kind == "gate"}
        assert {label: row.digest for label, row in found.items()} == {label: row.digest for label, row in truth.items()}, (
            path,
            name,
        )
        moved += any(found[label].digest != first.table()[label].digest for label in found)
        tree = new
    assert answered > 3 and refused > 3 and moved > 2
