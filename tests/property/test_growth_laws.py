"""Following only the imports that came in gives what following everything gives, reasons and chains included."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Scratch, add_gate

from nmoe_graph import Workspace
from nmoe_graph.digest.analysis import Analysis
from nmoe_graph.inputs import growth
from nmoe_graph.label import parse_label

SEEDS = int(os.environ.get("NMOE_GRAPH_TEST_GROWTHS", "6"))
NAMES = [f"m{number}" for number in range(14)]
MODULES = [f"p/{name}.py" for name in NAMES] + [f"p/{box}/{name}.py" for box in ("q", "r") for name in NAMES[:5]]


def imports(pick: random.Random) -> str:
    name = pick.choice(NAMES)
    return pick.choice(
        [
            f"import p.{name}",
            f"from p import {name}",
            f"from p import {name}, {pick.choice(NAMES)}",
            f"from . import {name}",
            f"from .{name} import X",
            f"from p.q import {pick.choice(NAMES[:5])}",
            "import p.r",
            f"def f():\n    import p.r.{pick.choice(NAMES[:5])}",
            f"try:\n    import p.{name}\nexcept ImportError:\n    import p.absent",
            "import json",
        ]
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_growing_equals_following_everything(scratch: Scratch, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Along edits that mostly add imports, and sometimes take one away or do something else."""
    used: list[bool] = []
    real: Callable[..., Any] = growth.grown

    def counted(*args: Any) -> Any:
        found = real(*args)
        used.append(found is not None)
        return found

    monkeypatch.setattr(growth, "grown", counted)
    pick = random.Random(seed)
    for box in ("p", "p/q", "p/r"):
        scratch.write(f"{box}/__init__.py", "")
    for path in MODULES:
        scratch.write(path, "X = 1\n")
    for gate, cmd in (("cpu:main", "python -m p.m0"), ("cpu:two", "python -c 'import p.m1, p.q.m2'"), ("cpu:test", "pytest p")):
        add_gate(scratch, gate, cmd)
    text = scratch.read("configs/gates/gates.toml").replace('inputs = ["docs/a.txt"]\ninfer = false\n', "")
    scratch.write("configs/gates/gates.toml", text)
    scratch.commit()
    for _ in range(30):
        path = pick.choice([*MODULES, "p/__init__.py", "p/q/__init__.py"])
        lines = scratch.read(path).splitlines()
        kind = pick.random()
        if kind < 0.75:
            lines += imports(pick).splitlines()
        elif kind < 0.85 and lines:
            lines = [line for line in lines if not line.startswith(("import", "from"))] or ["X = 2"]
        else:
            lines.append(f"Y = {pick.randrange(99)}")
        scratch.write(path, "\n".join(lines) + "\n")
        scratch.commit()  # an older tree is built upon where it was written
        workspace = Workspace.open(scratch.root)
        snapshot = workspace.snapshot()
        oracle = Analysis(snapshot, None)
        expected, got = oracle.table(), workspace.analysis(snapshot).table()
        workspace.memo.flush()
        assert {label: row.digest for label, row in got.items()} == {label: row.digest for label, row in expected.items()}
        for label, row in got.items():
            if row.manifest:
                assert workspace.analysis(snapshot).kept_manifest(label) == oracle.manifest(parse_label(label)), label
    assert sum(used) > 5


def test_a_growth_that_forgets_a_step_is_noticed() -> None:
    """What is gone, and what is no plain import, is never taken for growth."""
    old = [("import", 0, "a"), ("from", 0, "b", "x", "y")]
    assert growth.added_imports(old, old) == []
    assert growth.added_imports(old, [*old, ("import", 0, "c")]) == [("import", 0, "c")]
    assert growth.added_imports(old, old[:1]) is None
    assert growth.added_imports(old, [*old, ("from", 0, "c", "*")]) is None
    assert growth.added_imports(old, [*old, ("opens", 0, "c")]) is None
