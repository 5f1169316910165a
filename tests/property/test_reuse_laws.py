"""Taking answers over from an older tree never changes one: against an oracle that believes nothing."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Scratch

from nmoe_graph import DeclarationError, Workspace
from nmoe_graph.digest.analysis import Analysis
from nmoe_graph.digest.reuse import moved

PACKAGES = """[files.texts]
srcs = ["docs/**/*.txt"]
exclude = ["docs/private/**"]

[python.b]
module = "nmoe.b"

[action.made]
cmd = "mkdir -p out && cp docs/a.txt out/made.txt"
deps = [":texts"]
outs = ["out/made.txt"]
"""

MORE_GATES = """
[gates."cpu:lib"]
tier = "a"
timeout_s = 30
cmd = "python -c 'import lib.x.deep, yaml_like'"

[gates."cpu:texts"]
tier = "a"
timeout_s = 30
deps = ["//:texts"]
infer = false
cmd = "ls docs"

[gates."cpu:made"]
tier = "a"
timeout_s = 30
deps = ["//:made", "//:b"]
infer = false
cmd = "cat out/made.txt"

[gates."cpu:everything"]
tier = "a"
timeout_s = 30
cmd = "make test"

[gates."cpu:tests"]
tier = "a"
timeout_s = 30
cmd = "pytest tests/unit"

[bundles]
"""

FILES = [
    "lib/x/deep.py", "lib/x/__init__.py", "lib/__init__.py", "lib/y.py", "yaml_like.py", "yaml_like/__init__.py", "lib.py",
    "nmoe/a.py", "nmoe/b.py", "nmoe/c/__init__.py", "nmoe/c.py", "nmoe/train.py", "nmoe/__init__.py", "json.py",
    "docs/a.txt", "docs/b/c.txt", "docs/private/x.txt", "docs/new.md", "configs/tiny.toml", "tests/unit/test_a.py",
    "tests/conftest.py", "conftest.py", "pyproject.toml", "pytest.ini", "src/lib/y.py",
]  # fmt: skip

LINES = [
    "from . import a",
    "import json",
    "import lib.y",
    "from nmoe import *",
    "import nmoe.c",
    "X = 1",
    "# note",
    "import yaml_like",
    "from lib import x, y",
    "__all__ = ['c']",
    "import importlib; importlib.import_module('nmoe.b')",
]


def edit(s: Scratch, pick: random.Random) -> None:
    """One change of a kind that has misled somebody's build tool."""
    path = s.root / pick.choice(FILES)
    kind = pick.randrange(12)
    if kind < 6:
        for parent in path.relative_to(s.root).parents:
            if (s.root / parent).is_file():
                return
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        path.write_text("\n".join(pick.choices(LINES, k=pick.randrange(3))) + "\n")
    elif kind == 6:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    elif kind == 7 and path.is_file():
        path.chmod(pick.choice([0o644, 0o755]))
    elif kind == 8 and not path.exists() and not path.is_symlink() and path.parent.is_dir():
        path.symlink_to(pick.choice(["a.py", "../nmoe/b.py", "missing", "../docs/a.txt"]))
    elif kind == 9:
        gates = s.read("configs/gates/gates.toml").replace("timeout_s = 30", f"timeout_s = 30 # {pick.random()}", 1)
        s.write("configs/gates/gates.toml", gates.replace("grep -q", pick.choice(["grep -q", "grep -c"])))
    elif kind == 10:
        s.write("BUILD.toml", s.read("BUILD.toml").replace("docs/**/*.txt", pick.choice(["docs/**/*.txt", "docs/*"])))
    elif kind == 11:
        s.write("lib/BUILD.toml" if pick.random() < 0.5 else "docs/b/BUILD.toml", f'[files.all]\nsrcs = ["*"]\n# {pick.random()}\n')


@pytest.mark.parametrize("seed", range(10))
def test_taken_over_rows_equal_computed_ones(scratch: Scratch, seed: int) -> None:
    """Along forty random edits, the table built on older tables is the table built on nothing."""
    scratch.write("BUILD.toml", scratch.read("BUILD.toml") + PACKAGES)
    scratch.replace("configs/gates/gates.toml", "\n[bundles]\n", MORE_GATES)
    scratch.write("tests/unit/test_a.py", "import nmoe.b\n")
    scratch.commit()
    pick = random.Random(seed)
    compared = 0
    for _ in range(40):
        for _ in range(pick.randrange(1, 3)):
            edit(scratch, pick)
        workspace = Workspace.open(scratch.root)  # a new process's view: nothing but the memo file is shared
        snapshot = workspace.snapshot()
        try:
            expected = Analysis(snapshot, None).table()
        except DeclarationError:
            with pytest.raises(DeclarationError):
                workspace.analysis(snapshot).table()
            continue
        got = workspace.analysis(snapshot).table()
        workspace.memo.flush()
        assert {label: row.digest for label, row in got.items()} == {label: row.digest for label, row in expected.items()}
        assert [(row.kind, row.timeout_s, row.accept_flaky) for row in got.values()] == [
            (row.kind, row.timeout_s, row.accept_flaky) for row in expected.values()
        ]
        compared += 1
    assert compared > 5


def test_little_is_computed_after_a_little_edit(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit of a text asks again only for the gate that reads it."""
    workspace = Workspace.open(scratch.root)
    workspace.analysis().table()
    workspace.memo.flush()
    scratch.write("docs/a.txt", "other\n")
    computed: list[str] = []
    real: Callable[..., object] = Analysis._row
    monkeypatch.setattr(Analysis, "_row", lambda self, target: computed.append(str(target.label)) or real(self, target))
    Workspace.open(scratch.root).analysis().table()
    assert computed == ["//gates/cpu:grep"]


def test_a_folder_that_vanishes_or_turns_into_a_file_is_noticed(scratch: Scratch) -> None:
    """The difference of two trees names leaves, and folders that only one side has."""
    scratch.write("d/e/f.txt", "x\n")
    one = scratch.commit()
    shutil.rmtree(scratch.root / "d")
    scratch.write("d", "now a file\n")
    two = scratch.commit()
    workspace = Workspace.open(scratch.root)
    trees = [workspace.snapshot(commit).tree for commit in (one, two)]
    change = moved(workspace.repository.objects, *trees)
    assert change is not None
    assert change.paths == {"d", "d/e", "d/e/f.txt"}
    assert change.touched == {"", "d", "d/e", "d/e/f.txt"}


def test_the_memo_can_be_thrown_away(scratch: Scratch) -> None:
    """Without its memo file a workspace gives the same answers."""
    first = Workspace.open(scratch.root).analysis().table()
    for path in Path(scratch.root, ".git", "nmoe-graph").glob("memo*"):
        path.unlink()
    assert Workspace.open(scratch.root).analysis().table() == first
