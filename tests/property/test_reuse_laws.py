"""Taking answers over from an older tree never changes one: against an oracle that believes nothing."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Scratch

from nmoe_graph import DeclarationError, Workspace
from nmoe_graph.digest.analysis import Analysis
from nmoe_graph.digest.reuse import moved
from nmoe_graph.label import parse_label

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

[gates."cpu:configured"]
tier = "a"
timeout_s = 30
cmd = "PYTHONPATH=src pytest"

[gates."cpu:script"]
tier = "a"
timeout_s = 30
cmd = "tool configs/tiny.json"

[gates."cpu:data"]
tier = "a"
timeout_s = 30
cmd = "python -m lib.y"

[bundles]
"""

FILES = [
    "lib/x/deep.py", "lib/x/__init__.py", "lib/__init__.py", "lib/y.py", "yaml_like.py", "yaml_like/__init__.py", "lib.py",
    "nmoe/a.py", "nmoe/b.py", "nmoe/c/__init__.py", "nmoe/c.py", "nmoe/train.py", "nmoe/__init__.py", "json.py",
    "docs/a.txt", "docs/b/c.txt", "docs/private/x.txt", "docs/new.md", "configs/tiny.toml", "tests/unit/test_a.py",
    "tests/conftest.py", "conftest.py", "pyproject.toml", "pytest.ini", "src/lib/y.py", "src/sitecustomize.py", "string.py",
    "lib/_ext.so", "lib/x/_ext.cpython-311-x86_64-linux-gnu.so", "configs/tiny.json", "lib/data/one.txt", "lib/data/two.json",
    "lib/x/types.py", "tests/unit/test_b.py", "lib/link",
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
    "open(Path(__file__).parent / 'data' / 'one.txt')",
    "HERE = Path(__file__).parent / 'data'",
    "from lib.y import HERE",
    "list(Path(__file__).parent.glob('*.txt'))",
    "use(Path(__file__).parent / name)",
    "sys.path.insert(0, str(Path(__file__).parent))",
    "entry_points(group='g')",
    "subprocess.run([sys.executable, '-m', 'nmoe.c'])",
    "from lib import _ext",
    "import yaml_like.link.deep",
    "open(__file__)",
    "type X = int",
    "importlib.import_module(x)",
]

PROJECTS = [
    "[project]\nname = 'x'\n",
    "[project.scripts]\ntool = 'lib.x.deep:main'\n",
    "[project.scripts]\ntool = 'nmoe.b:main'\n[project.entry-points.g]\none = 'lib.y'\n",
    "[project.entry-points.g]\none = 'nmoe.c'\n[project.entry-points.pytest11]\np = 'yaml_like'\n",
    "[tool.pytest.ini_options]\ntestpaths = 'tests'\npythonpath = ['lib']\naddopts = '-p nmoe.a'\n",
    "[tool.pytest.ini_options]\ntestpaths = 'tests/unit'\n",
]


def edit(s: Scratch, pick: random.Random) -> None:
    """One change of a kind that has misled somebody's build tool."""
    path = s.root / pick.choice(FILES)
    kind = pick.randrange(16)
    if kind == 14:
        (s.root / "pyproject.toml").unlink(missing_ok=True)
        s.write("pyproject.toml", pick.choice(PROJECTS))
    elif kind == 15:
        (s.root / "configs").mkdir(exist_ok=True)
        s.write("configs/tiny.json", pick.choice(['{"a": 1}', '{ "a": 1 }\n', '{"a": 2}', "{"]))
    elif kind < 6:
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
        path.symlink_to(pick.choice(["a.py", "../nmoe/b.py", "missing", "../docs/a.txt", "x"]))
    elif kind == 9:
        gates = s.read("configs/gates/gates.toml").replace("timeout_s = 30", f"timeout_s = 30 # {pick.random()}", 1)
        s.write("configs/gates/gates.toml", gates.replace("grep -q", pick.choice(["grep -q", "grep -c"])))
    elif kind == 10:
        s.write("BUILD.toml", s.read("BUILD.toml").replace("docs/**/*.txt", pick.choice(["docs/**/*.txt", "docs/*"])))
    elif kind == 11:
        s.write("lib/BUILD.toml" if pick.random() < 0.5 else "docs/b/BUILD.toml", f'[files.all]\nsrcs = ["*"]\n# {pick.random()}\n')
    elif path.is_file() and not path.is_symlink():  # an edit that changes no import
        path.write_text(path.read_text() + f"Y = {pick.randrange(9)}\n")


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
            believes_nothing = Analysis(snapshot, None)
            expected = believes_nothing.table()
        except DeclarationError:
            with pytest.raises(DeclarationError):
                workspace.analysis(snapshot).table()
            continue
        got = workspace.analysis(snapshot).table()
        workspace.memo.flush()
        assert {label: row.digest for label, row in got.items()} == {label: row.digest for label, row in expected.items()}
        assert [(row.kind, row.timeout_s, row.accept_flaky, tuple(row.needs)) for row in got.values()] == [
            (row.kind, row.timeout_s, row.accept_flaky, tuple(row.needs)) for row in expected.values()
        ]
        for label, row in got.items():
            assert workspace.analysis(snapshot).kept_manifest(label) == (
                believes_nothing.manifest(parse_label(label)) if row.manifest else {}
            )
        compared += 1
    assert compared > 5


def test_little_is_computed_after_a_little_edit(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is inferred anew for an edit that changes no import; a file that goes asks again for its readers."""
    workspace = Workspace.open(scratch.root)
    workspace.analysis().table()
    workspace.memo.flush()
    scratch.write("docs/a.txt", "other\n")
    computed: list[str] = []
    real: Callable[..., object] = Analysis._row
    monkeypatch.setattr(Analysis, "_row", lambda self, label: computed.append(label) or real(self, label))
    before = Workspace.open(scratch.root).analysis("HEAD").table()
    workspace = Workspace.open(scratch.root)
    after = workspace.analysis().table()
    workspace.memo.flush()
    assert [label for label, row in after.items() if row != before[label] and row.kind == "gate"] == ["//gates/cpu:grep"]
    assert computed == []
    (scratch.root / "docs/a.txt").unlink()
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


def test_a_question_about_an_edit_loads_no_inference(scratch: Scratch) -> None:
    """Where nothing is inferred anew, neither inference nor the reading of declarations is imported: a start must be quick."""

    def asked() -> set[str]:
        command = [sys.executable, "-X", "importtime", "-m", "nmoe_graph", "affected", "--since", "HEAD~1", "--at", "HEAD"]
        done = subprocess.run(command, cwd=scratch.root, capture_output=True, text=True, check=True)
        assert "cpu:compileall" in done.stdout
        return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}

    for number in range(2):
        scratch.write("nmoe/b.py", f"Y = {number + 3}\n")
        scratch.commit()
        loaded = asked()
    assert "nmoe_graph.digest.reuse" in loaded
    heavy = {"nmoe_graph.inputs.gather", "nmoe_graph.graph.graph", "nmoe_graph.load.build", "nmoe_graph.model", "pydantic", "yaml"}
    assert not heavy & loaded
