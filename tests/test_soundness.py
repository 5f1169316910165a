"""Inference against the world: mutations of a small project run for real, and an independent import graph."""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import Scratch

from nmoe_graph import Workspace
from nmoe_graph.git.snapshot import Snapshot
from nmoe_graph.inputs.closure import Start, World, close_over
from nmoe_graph.inputs.files import FileReader
from nmoe_graph.inputs.project import Project

ROOT = Path(__file__).resolve().parents[1]

#: A project in which everything that has misled an import graph is used by some test.
PROJECT = {
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-p plug'\n",
    "plug.py": "import pytest\n\n@pytest.fixture\ndef two():\n    return 2\n",
    "shapes/__init__.py": "from .area import square\n\n__all__ = ['square']\n",
    "shapes/area.py": "from . import units\n\ndef square(x):\n    return x * x * units.ONE\n",
    "shapes/units.py": "ONE = 1\nTWO = ONE + ONE\n",
    "shapes/lazy.py": "import importlib\n\ndef load(name):\n    return importlib.import_module(f'{__package__}.kinds.{name}')\n",
    "shapes/kinds/__init__.py": "",
    "shapes/kinds/round.py": "PI = 3\n",
    "shapes/kinds/flat.py": "SIDES = 4\n",
    "shapes/table.py": "from pathlib import Path\n\nROWS = (Path(__file__).parent / 'data' / 'rows.txt').read_text().split()\n",
    "shapes/data/rows.txt": "1 2 3\n",
    "shapes/data/more.txt": "4\n",
    "shapes/__main__.py": "from .area import square\n\nprint(square(3))\n",
    "shapes/unused.py": "X = 1\n",
    "tests/conftest.py": "import pytest\nfrom shapes.units import TWO\n\n@pytest.fixture\ndef pair():\n    return TWO\n",
    "tests/helper.py": "def check(x):\n    return x == 4\n",
    "tests/test_area.py": (
        "from helper import check\nfrom shapes import square\n\n\ndef test_it(two):\n    assert check(square(two))\n"
    ),
    "tests/test_lazy.py": "from shapes.lazy import load\n\ndef test_it():\n    assert load('round').PI == 3\n",
    "tests/test_table.py": "from shapes.table import ROWS\n\ndef test_it():\n    assert ROWS == ['1', '2', '3']\n",
    "tests/test_pair.py": "def test_it(pair):\n    assert pair == 2\n",
    "tests/test_command.py": (
        "import subprocess, sys\n\ndef test_it():\n"
        "    done = subprocess.run([sys.executable, '-m', 'shapes'], capture_output=True)\n"
        "    assert done.stdout == b'9\\n'\n"
    ),
    "tests/test_data.py": (
        "from pathlib import Path\n\ndef test_it():\n    folder = Path(__file__).parents[1] / 'shapes' / 'data'\n"
        "    assert sorted(path.name for path in folder.glob('*.txt')) == ['more.txt', 'rows.txt']\n"
    ),
    "README.md": "Shapes.\n",
}


def harness() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutation", ROOT / "benchmarks" / "mutation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutation"] = module
    spec.loader.exec_module(module)
    return module


def written(folder: Path) -> Path:
    for path, text in PROJECT.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_no_gate_that_is_not_affected_changes_its_outcome(tmp_path: Path) -> None:
    """Fifty seeded mutations of a small project: every gate that is not affected runs for real, and none differs."""
    module = harness()
    said: list[str] = []
    found = module.run([written(tmp_path / "shapes")], 50, 3, None, sys.executable, 10, tmp_path / "work", said.append)[-1]
    assert not [line for line in said if line.startswith("MISS")]
    assert (found["mutations"], found["misses"]) == (50, 0)
    assert found["runs"] > 100  # gates that were not affected
    assert found["precision"] > 0.6
    assert found["affected"] < 0.6


def test_a_missed_input_is_found_by_mutation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: an inference that follows no import misses most of what matters."""
    module = harness()
    monkeypatch.setattr("nmoe_graph.inputs.closure._Follower.follow", lambda *_: None)
    monkeypatch.setattr("nmoe_graph.digest.analysis._stamp", "an engine of its own")
    said: list[str] = []
    found = module.run([written(tmp_path / "shapes")], 6, 3, None, sys.executable, 10, tmp_path / "work", said.append)[-1]
    assert found["misses"] > 1


# -- beside an independent import graph --------------------------------------------------------------------------------------------


def closure_edges(snapshot: Snapshot, package: str) -> set[tuple[str, str]]:
    """(importer, imported) of every file of a package, as module names, by our own inference."""
    world = World(snapshot, FileReader(snapshot.objects), Project())
    found = set()
    for path, _, _ in snapshot.walk(package):
        if path.endswith(".py"):
            closure = close_over(world, Start(("",), scripts=(path,)))
            found |= {(name(path), name(other)) for other in closure.via if other.endswith(".py")}
    return found


def name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def explained(importer: str, imported: str, root: Path) -> str:
    """Why an edge that grimp finds is none of ours: grimp counts imports for type checkers."""
    stem = root / importer.replace(".", "/")
    path = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
    tree = ast.parse(path.read_text())
    package = importer.split(".") if path.name == "__init__.py" else importer.split(".")[:-1]
    real: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            real |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(
                [*(package[: len(package) - node.level + 1] if node.level else []), *([node.module] if node.module else [])]
            )
            real |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        pending += ast.iter_child_nodes(node)
    return "" if imported in real else "TYPE_CHECKING"


@pytest.mark.parametrize("package", ["nmoe_graph", "nmoe"])
def test_every_edge_of_an_independent_import_graph_is_ours_or_explained(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What grimp finds in this repository and we do not is imported for type checkers only."""
    grimp = pytest.importorskip("grimp")
    monkeypatch.syspath_prepend(str(ROOT))
    graph = grimp.build_graph(package, include_external_packages=False, cache_dir=None)
    theirs = {(one, two) for one in graph.modules for two in graph.find_modules_directly_imported_by(one)}
    assert len(theirs) > (100 if package == "nmoe_graph" else 0)
    repository = Workspace.open(ROOT).repository
    ours = closure_edges(repository.work_tree(), package)
    unexplained = [edge for edge in sorted(theirs - ours) if not explained(*edge, ROOT)]
    assert unexplained == []


def test_an_edge_that_is_missing_is_not_explained(tmp_path: Path) -> None:
    """The rule explains imports for type checkers and nothing else."""
    (tmp_path / "a.py").write_text("import b\nif TYPE_CHECKING:\n    import c\n")
    assert explained("a", "b", tmp_path) == ""
    assert explained("a", "c", tmp_path) == "TYPE_CHECKING"


def test_the_answer_is_the_same_on_one_core_and_on_many(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts and meanings come in the order in which they were asked for, whoever read them."""
    from nmoe_graph.inputs import parallel

    for number in range(60):
        scratch.write(f"many/m{number}.py", f"import many.m{number + 1}\nX = f'{{{number}}}'\n")
    objects = Workspace.open(scratch.root).repository.objects
    commit = scratch.commit()
    tree = Workspace.open(scratch.root).snapshot(commit)
    blobs = [blob for path, _, blob in tree.walk() if path.endswith(".py")] + ["0" * 40]
    monkeypatch.setattr(parallel, "_FEW", 20)
    monkeypatch.setattr(parallel, "_CHUNK", 7)
    many = list(parallel.read_all(objects, blobs, cores=3))
    assert [blob for blob, _ in many] == blobs
    assert many == list(parallel.read_all(objects, blobs, cores=1))
    monkeypatch.setattr(parallel, "_START", "raise SystemExit(1)")
    assert many == list(parallel.read_all(objects, blobs, cores=3))


FACTS = """
import hashlib, json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from nmoe_graph.inputs.imports import facts_and_meaning
sources = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[1], "nmoe_graph").rglob("*.py"))]
sources += [text.encode() + b"\\nimport a" for text in json.loads(sys.argv[2])]
print(hashlib.sha256(json.dumps([facts_and_meaning(one) for one in sources]).encode()).hexdigest())
"""
#: What only newer Pythons can parse.
NEWER = [
    "type X = int",
    "def f[T](a: T): pass",
    "x = f'{a['b']}'",
    "try:\n    pass\nexcept A, B:\n    pass",
    'x = t"{a}"',
    "größe = 1",
]


@pytest.mark.parametrize("name", ["python3.12", "python3.13", "python3.14"])
def test_every_python_reads_the_same_facts(name: str) -> None:
    """What a file imports and opens does not depend on who reads it, though not every Python can parse it."""
    program = shutil.which(name)
    if program is None or subprocess.run([program, "-IS", "-c", ""], capture_output=True).returncode:
        pytest.skip(f"{name} is not on this machine")
    found = [
        subprocess.run([each, "-IS", "-c", FACTS, str(ROOT), json.dumps(NEWER)], capture_output=True, text=True, check=True).stdout
        for each in (sys.executable, program)
    ]
    assert found[0] == found[1] != ""
