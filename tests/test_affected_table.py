"""The truth table of `affected`: one aligned row a case in affected.table, one function a case here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Scratch

from nmoe_graph import Workspace

NAMES = {
    "import": "//gates/cpu:import",
    "compileall": "//gates/cpu:compileall",
    "grep": "//gates/cpu:grep",
    "train": "//gates/b200:train",
}


def rows() -> dict[str, set[str]]:
    table = {}
    for line in (Path(__file__).parent / "affected.table").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, gates = line.partition("|")
            table[name.strip()] = {NAMES[word] for word in gates.split() if word != "-"}
    return table


def bumped(s: Scratch) -> None:
    inner = s.root / "third"
    inner.mkdir()
    other = Scratch(inner)
    s.git("add", "-A")
    s.git("commit", "-qm", "a repository inside")
    other.write("docs/a.txt", "two\n")
    other.commit()


def linked(s: Scratch) -> None:
    (s.root / "docs/a.txt").unlink()
    s.write("docs/one.txt", "one\n")
    s.write("docs/two.txt", "one\n")
    os.symlink("one.txt", s.root / "docs/a.txt")
    s.commit("a link")
    (s.root / "docs/a.txt").unlink()
    os.symlink("two.txt", s.root / "docs/a.txt")


def reverted(s: Scratch) -> None:
    s.write("nmoe/a.py", "X = 5\n")
    s.write("nmoe/a.py", '"""A."""\n\nX = 1\n')


def staged(s: Scratch) -> None:
    before = s.read("nmoe/a.py")
    s.write("nmoe/a.py", "X = 5\n")
    s.git("add", "-A")
    s.write("nmoe/a.py", before)


def names(s: Scratch) -> None:
    s.write("nmoe/mit leerzeichen.py", "Z = 1\n")
    s.write("nmoe/größe.py", "Z = 1\n")


def started(s: Scratch, source: str, **files: str) -> None:
    """Let a module of the closure do something, with more files beside it, and commit that."""
    s.write("nmoe/a.py", f"import importlib, os, sys\nfrom pathlib import Path\n\n{source}\n")
    for path, text in files.items():
        s.write("nmoe/" + path.replace("__", "/").replace("_txt", ".txt").replace("_py", ".py").replace("_so", ".abi3.so"), text)
    s.commit("start")


def opened(s: Scratch) -> None:
    started(s, "X = (Path(__file__).parent / 'data' / 'x.txt').read_text()", data__x_txt="x\n", data__y_txt="y\n")


def lazy(s: Scratch) -> None:
    started(s, "def f(n):\n    return importlib.import_module(f'nmoe.kinds.{n}')", kinds__c_py="Z = 1\n")


def typed(s: Scratch) -> None:
    started(s, "if TYPE_CHECKING:\n    from . import c", c_py="Z = 1\n")
    s.write("nmoe/c.py", "Z = 2\n")


CASES = {
    "syntax broken in the closure": lambda s: s.write("nmoe/a.py", "def f(:\n"),
    "data that a module opens edited": lambda s: (opened(s), s.write("nmoe/data/x.txt", "z\n")),
    "data that a module opens deleted": lambda s: (opened(s), (s.root / "nmoe/data/x.txt").unlink()),
    "data beside it that nobody opens": lambda s: (opened(s), s.write("nmoe/data/y.txt", "z\n")),
    "data by a name known at run time": lambda s: (
        started(s, "def f(n):\n    return open(os.path.join(os.path.dirname(__file__), 'd', n))", d__x_txt="x\n"),
        s.write("nmoe/d/x.txt", "y\n"),
    ),
    "data by a pattern comes in": lambda s: (
        started(s, "X = list(Path(__file__).parent.glob('*.txt'))"),
        s.write("nmoe/new.txt", "y\n"),
    ),
    "module that only type checkers see": typed,
    "stub of a module of the closure": lambda s: s.write("nmoe/a.pyi", "X: int\n"),
    "lazily imported module edited": lambda s: (lazy(s), s.write("nmoe/kinds/c.py", "Z = 2\n")),
    "lazily imported module comes in": lambda s: (lazy(s), s.write("nmoe/kinds/d.py", "Z = 2\n")),
    "module of a started program edited": lambda s: (
        started(s, "def f():\n    return subprocess.run([sys.executable, '-m', 'nmoe.kinds.c'])", kinds__c_py="Z = 1\n"),
        s.write("nmoe/kinds/c.py", "Z = 2\n"),
    ),
    "folder put on sys.path edited": lambda s: (
        s.write("lib/tool.py", "Z = 1\n"),
        started(s, "sys.path.insert(0, str(Path(__file__).parents[1] / 'lib'))\nimport tool"),
        s.write("lib/tool.py", "Z = 2\n"),
    ),
    "native module changed": lambda s: (started(s, "from . import ext", ext_so="x"), s.write("nmoe/ext.abi3.so", "y")),
    "native module comes in": lambda s: s.write("nmoe/a.abi3.so", "x"),
    "standard library shadowed": lambda s: s.write("string.py", "X = 1\n"),
    "standard library shadowed elsewhere": lambda s: s.write("docs/string.py", "X = 1\n"),
    "start-up module comes in": lambda s: s.write("sitecustomize.py", "X = 1\n"),
    "test configuration edited": lambda s: s.write("pytest.ini", "[pytest]\naddopts = -x\n"),
    "edited module of the closure": lambda s: s.replace("nmoe/a.py", "X = 1", "X = 2"),
    "edited module outside the closure": lambda s: s.replace("nmoe/b.py", "Y = 2", "Y = 3"),
    "comment only": lambda s: s.replace("nmoe/a.py", "X = 1", "X = 1  # one"),
    "reformatted only": lambda s: s.replace("nmoe/a.py", "X = 1", "\n\nX = (\n    1\n)"),
    "docstring edited": lambda s: s.replace("nmoe/a.py", "A.", "B."),
    "untracked module in the package": lambda s: s.write("nmoe/c.py", "Z = 1\n"),
    "tracked module added": lambda s: (s.write("nmoe/c.py", "Z = 1\n"), s.commit()),
    "module deleted": lambda s: (s.root / "nmoe/b.py").unlink(),
    "module renamed": lambda s: s.git("mv", "nmoe/b.py", "nmoe/c.py"),
    "module moved to another package": lambda s: (os.mkdir(s.root / "other"), s.git("mv", "nmoe/b.py", "other/b.py")),
    "mode changed": lambda s: os.chmod(s.root / "nmoe/a.py", 0o755),
    "byte-read text edited": lambda s: s.write("docs/a.txt", "one two\n"),
    "text whitespace edited": lambda s: s.write("docs/a.txt", "one \n"),
    "preset edited": lambda s: s.write("configs/tiny.toml", "dim = 9\n"),
    "preset reformatted": lambda s: s.write("configs/tiny.toml", "dim   =  8"),
    "preset comment": lambda s: s.write("configs/tiny.toml", "# eight\ndim = 8\n"),
    "link retargeted": linked,
    "non-ascii and spaced names": names,
    "submodule bumped": bumped,
    "gate's own command": lambda s: s.replace("configs/gates/gates.toml", "grep -q one", "grep -c one"),
    "gate's timeout": lambda s: s.replace("configs/gates/gates.toml", "timeout_s = 60", "timeout_s = 61"),
    "bundle membership": lambda s: s.replace("configs/gates/gates.toml", '"cpu:import", "cpu:compileall"]', '"cpu:import"]'),
    "unrelated file": lambda s: s.write("README.md", "hello\n"),
    "reverted edit": reverted,
    "import edge removed": lambda s: s.write("nmoe/train.py", "print(2)\n"),
    "staged edit undone in the work tree": staged,
}


def test_table_and_cases_name_the_same() -> None:
    """No row without a case, no case without a row."""
    assert rows().keys() == CASES.keys()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("git", ["git", "none"])
def test_affected_gates_are_those_of_the_table(scratch: Scratch, case: str, git: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same gates, whether the git program or dulwich finds out what is dirty."""
    CASES[case](scratch)
    if git == "none":
        monkeypatch.setenv("NMOE_GRAPH_GIT", "none")
    since = "HEAD~1" if case == "tracked module added" else "HEAD"
    expected = rows()[case]
    if case == "import edge removed":
        expected = expected | {NAMES["compileall"]}
    found = {one.label for one in Workspace.open(scratch.root).affected(since)}
    assert found == expected


def test_bundles_contracts_and_merges_follow_their_gates(scratch: Scratch) -> None:
    """What stands above a gate is affected with it; a membership edit affects the bundle alone."""
    scratch.contract("01")
    scratch.contract("02", depends="[01]")
    scratch.commit()
    scratch.replace("nmoe/a.py", "X = 1", "X = 2")
    found = {one.label: one for one in Workspace.open(scratch.root).affected("HEAD", kinds=["all"])}
    assert {"//gates:tier_a", "//gates:hot", "//contracts:01", "//merges:01", "//merges:02"} <= found.keys()
    scratch.git("checkout", "-q", ".")
    CASES["bundle membership"](scratch)
    found = {one.label: one for one in Workspace.open(scratch.root).affected("HEAD", kinds=["all"])}
    assert set(found) == {"//gates:tier_a"}
    assert "-//gates/cpu:compileall" in found["//gates:tier_a"].reasons[0].subject


def test_committed_and_uncommitted_edits_agree(scratch: Scratch) -> None:
    """Committing an edit changes no key."""
    scratch.replace("nmoe/a.py", "X = 1", "X = 2")
    dirty = Workspace.open(scratch.root).analysis().table()
    commit = scratch.commit()
    clean = Workspace.open(scratch.root).analysis(commit).table()
    assert dirty == clean


def test_targets_of_a_build_file_and_their_edges_count(scratch: Scratch) -> None:
    """An edit of a BUILD.toml affects what depends on its targets: sources, edges, removal; a comment in it nothing."""
    scratch.write("docs/b.txt", "b\n")
    build = '[files.a]\nsrcs = ["a.txt"]\n\n[files.b]\nsrcs = ["b.txt"]\n'
    scratch.write("docs/BUILD.toml", build)
    gate = '[gates."cpu:docs"]\ntier = "a"\ntimeout_s = 30\ninfer = false\ndeps = ["//docs:a", "//docs:b"]\ncmd = "true"\n\n'
    scratch.replace("configs/gates/gates.toml", "[bundles]\n", gate + "[bundles]\n")
    scratch.commit()
    workspace = Workspace.open(scratch.root)

    def affected() -> set[str]:
        return set(workspace.affected("HEAD").labels())

    scratch.write("docs/BUILD.toml", "# a note\n" + build)
    assert affected() == set()
    scratch.write("docs/BUILD.toml", build.replace('"b.txt"', '"none.txt"'))
    assert affected() == {"//gates/cpu:docs"}
    scratch.write("docs/BUILD.toml", build)
    scratch.replace("configs/gates/gates.toml", 'deps = ["//docs:a", "//docs:b"]', 'deps = ["//docs:a"]')
    assert affected() == {"//gates/cpu:docs"}
    scratch.commit()
    scratch.write("docs/b.txt", "c\n")
    assert affected() == set()
    scratch.write("docs/a.txt", "c\n")
    assert affected() == {"//gates/cpu:docs", "//gates/cpu:grep"}
    scratch.git("mv", "docs/a.txt", "docs/a2.txt")
    assert "//gates/cpu:docs" in affected()
