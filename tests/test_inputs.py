"""What a gate reads: everything that the program it starts can import, open or be told."""

from __future__ import annotations

import os

import pytest
from conftest import Scratch

from nmoe_graph import Workspace
from nmoe_graph.inputs.input import Form, Inputs, Reason
from nmoe_graph.label import parse_label
from nmoe_graph.plan.affected import way_to


def inputs(scratch: Scratch, command: str, files: dict[str, str], **keys: str) -> Inputs:
    """What a gate with this command reads in a workspace that holds these files."""
    scratch.git("rm", "-rq", "nmoe")
    for path, text in files.items():
        if text.startswith("-> "):
            os.symlink(text[3:], scratch.root / path)
        else:
            scratch.write(path, text)
    more = "".join(f"{key} = {value}\n" for key, value in keys.items())
    cmd = command.replace("\\", "\\\\").replace('"', '\\"')
    scratch.write("configs/gates/gates.toml", f'[gates."cpu:x"]\ntier = "a"\ntimeout_s = 9\ncmd = "{cmd}"\n{more}')
    found = Workspace.open(scratch.root).analysis().inputs(parse_label("cpu:x"))
    assert isinstance(found, Inputs)
    return found


#: name -> (command, files, the Python files that are read)
CLOSURES: dict[str, tuple[str, dict[str, str], str]] = {
    "absolute": (
        "python -m a",
        {"a.py": "import b.c", "b/__init__.py": "", "b/c.py": "", "b/d.py": ""},
        "a.py b/__init__.py b/c.py",
    ),
    "chain of packages": (
        "python -m a.b.c",
        {"a/__init__.py": "", "a/b/__init__.py": "import d", "a/b/c.py": "", "d.py": "", "a/e.py": ""},
        "a/__init__.py a/b/__init__.py a/b/c.py d.py",
    ),
    "relative": (
        "python -m a.b",
        {
            "a/__init__.py": "",
            "a/b.py": "from . import c\nfrom .d import x",
            "a/c.py": "",
            "a/d.py": "",
            "e.py": "",
        },
        "a/__init__.py a/b.py a/c.py a/d.py",
    ),
    "two dots": (
        "python -m a.b.c",
        {"a/__init__.py": "", "a/b/__init__.py": "", "a/b/c.py": "from ..d import e", "a/d/__init__.py": "", "a/d/e.py": ""},
        "a/__init__.py a/b/__init__.py a/b/c.py a/d/__init__.py a/d/e.py",
    ),
    "a name that is a module or an attribute": (
        "python -m a",
        {"a.py": "from b import c, d", "b/__init__.py": "d = 1", "b/c.py": ""},
        "a.py b/__init__.py b/c.py",
    ),
    "star": (
        "python -m a",
        {"a.py": "from b import *", "b/__init__.py": "__all__ = ['c']", "b/c.py": "", "b/d.py": ""},
        "a.py b/__init__.py b/c.py",
    ),
    "in a function": ("python -m a", {"a.py": "def f():\n    import b", "b.py": ""}, "a.py b.py"),
    "in try and except": (
        "python -m a",
        {"a.py": "try:\n    import b\nexcept ImportError:\n    import c", "b.py": "", "c.py": ""},
        "a.py b.py c.py",
    ),
    "for type checkers only": ("python -m a", {"a.py": "if TYPE_CHECKING:\n    import b", "b.py": ""}, "a.py"),
    "namespace package": ("python -m n.a", {"n/a.py": "import n.b", "n/b.py": "", "n/c.py": ""}, "n/a.py n/b.py"),
    "a package beats a module": (
        "python -m a",
        {"a.py": "", "a/__init__.py": "", "a/__main__.py": ""},
        "a/__init__.py a/__main__.py",
    ),
    "a module beats a namespace package": ("python -m a", {"a.py": "", "a/b.py": ""}, "a.py"),
    "main of a package": (
        "python -m a",
        {"a/__init__.py": "", "a/__main__.py": "from . import b", "a/b.py": ""},
        "a/__init__.py a/__main__.py a/b.py",
    ),
    "main is not imported": ("python -m b", {"b.py": "import a", "a/__init__.py": "", "a/__main__.py": ""}, "a/__init__.py b.py"),
    "cycle": ("python -m a", {"a.py": "import b", "b.py": "import a"}, "a.py b.py"),
    "literal import_module": (
        "python -m a",
        {"a.py": "from importlib import import_module\nimport_module('b')", "b.py": "", "c.py": ""},
        "a.py b.py",
    ),
    "dynamic import below a package": (
        "python -m a",
        {
            "a.py": "import importlib\nimportlib.import_module(f'p.{x}')",
            "p/__init__.py": "",
            "p/b.py": "",
            "p/q/c.py": "",
            "d.py": "",
        },
        "a.py p/__init__.py p/b.py p/q/c.py",
    ),
    "dynamic import in the own package": (
        "python -m p",
        {"p/__init__.py": "__import__(__name__ + x)", "p/b.py": "", "p/__main__.py": "", "d.py": ""},
        "p/__init__.py p/__main__.py p/b.py",
    ),
    "modules of others": ("python -m a", {"a.py": "import os, torch, numpy.linalg"}, "a.py"),
    "code": ('python -c "import a"', {"a.py": "import b", "b.py": "", "c.py": ""}, "a.py b.py"),
    "script": ("python s/a.py", {"s/a.py": "import b", "s/b.py": "", "b.py": ""}, "s/a.py s/b.py"),
    "folder as a script": ("python s", {"s/__main__.py": "import b", "s/b.py": ""}, "s/__main__.py s/b.py"),
    "search path": ("PYTHONPATH=src python -m a", {"src/a.py": "import b", "src/b.py": "", "b.py": ""}, "b.py src/a.py"),
    "another folder": ("cd s && python -m a", {"s/a.py": "import b", "s/b.py": "", "b.py": ""}, "s/a.py s/b.py"),
    "compileall": ("python -m compileall s", {"s/a.py": "import b", "s/t/c.py": "", "b.py": ""}, "s/a.py s/t/c.py"),
    "pytest": (
        "python -m pytest t/test_a.py",
        {
            "conftest.py": "import c",
            "c.py": "",
            "t/conftest.py": "pytest_plugins = ['plug']",
            "plug.py": "",
            "t/test_a.py": "import d",
            "d.py": "",
            "t/test_b.py": "",
        },
        "c.py conftest.py d.py plug.py t/conftest.py t/test_a.py",
    ),
}


@pytest.mark.parametrize("case", CLOSURES)
def test_import_closure(scratch: Scratch, case: str) -> None:
    """Exactly the files of the workspace that the program can load, and all of them by meaning."""
    command, files, expected = CLOSURES[case]
    found = inputs(scratch, command, files)
    assert found.whole_tree == ""
    assert " ".join(item.path for item in found.items) == expected
    assert {item.form for item in found.items} == {Form.MEANING}


#: name -> (command, files, what is read: a path alone by meaning, =path by bytes)
READS: dict[str, tuple[str, dict[str, str], str]] = {
    "runpy": (
        "python -m a",
        {
            "a.py": "import runpy\nrunpy.run_module('p')\nrunpy.run_path('s.py')",
            "p/__init__.py": "",
            "p/__main__.py": "",
            "s.py": "import b",
            "b.py": "",
        },
        "a.py b.py p/__init__.py p/__main__.py s.py",
    ),
    "a program that is started": (
        "python -m a",
        {"a.py": "run([sys.executable, '-m', 'p', '-q'])", "p/__init__.py": "", "p/__main__.py": "import b", "b.py": ""},
        "a.py b.py p/__init__.py p/__main__.py",
    ),
    "code that is started": ("python -m a", {"a.py": "run([x, '-c', 'import b'])", "b.py": ""}, "a.py b.py"),
    "a command line that is started": (
        "python -m a",
        {"a.py": "os.system('python -m b x.txt')", "b.py": "", "x.txt": ""},
        "a.py b.py =x.txt",
    ),
    "data beside a module": (
        "python -m p.a",
        {"p/__init__.py": "", "p/a.py": "open(Path(__file__).parent / 'd' / 'x.txt')", "p/d/x.txt": "", "p/d/y.txt": ""},
        "p/__init__.py p/a.py =p/d/x.txt",
    ),
    "a folder beside a module": (
        "python -m a",
        {"a.py": "os.listdir(os.path.join(os.path.dirname(__file__), 'd'))", "d/x.txt": "", "d/e/y.txt": "", "z.txt": ""},
        "a.py =d/e/y.txt =d/x.txt",
    ),
    "data by a name that is not literal": (
        "python -m p.a",
        {"p/a.py": "def f(n):\n    return Path(__file__).parent / 'd' / n", "p/d/x.txt": "", "p/e.txt": ""},
        "p/a.py =p/d/x.txt",
    ),
    "data by a pattern": (
        "python -m p.a",
        {"p/a.py": "list(Path(__file__).parent.glob('*.txt'))", "p/x.txt": "", "p/d/y.txt": "", "p/z.md": ""},
        "p/a.py =p/x.txt",
    ),
    "data from the working folder": (
        "cd s && python -m a",
        {"s/a.py": "open('d/x.txt')", "s/d/x.txt": "", "d/x.txt": ""},
        "s/a.py =s/d/x.txt",
    ),
    "resources": (
        "python -m a",
        {"a.py": "files('p.q') / 'x.txt'", "p/q/__init__.py": "", "p/q/x.txt": "", "p/q/y.txt": ""},
        "a.py",
    ),
    "resources of a package": (
        "python -m a",
        {
            "a.py": "from importlib.resources import files\nimport p.q\nfiles('p.q') / 'x.txt'\nfiles(p.q) / 'z.txt'",
            "p/q/__init__.py": "",
            "p/q/x.txt": "",
            "p/q/y.txt": "",
            "p/q/z.txt": "",
        },
        "a.py p/q/__init__.py =p/q/x.txt =p/q/z.txt",
    ),
    "a folder that another module names": (
        "python -m p.a",
        {
            "p/a.py": "from .b import DATA\nopen(DATA / 'x.txt')",
            "p/b.py": "DATA = Path(__file__).parent / 'd'",
            "p/d/x.txt": "",
            "p/e.txt": "",
        },
        "p/a.py p/b.py =p/d/x.txt",
    ),
    "a file that reads itself": ("python -m a", {"a.py": "open(__file__)"}, "=a.py"),
    "code by its path": (
        "python -m p.a",
        {"p/a.py": "spec_from_file_location('x', Path(__file__).parent / 'x.py')", "p/x.py": "import b", "b.py": ""},
        "b.py p/a.py =p/x.py",
    ),
    "sys.path": (
        "python t/a.py",
        {
            "t/a.py": "sys.path.insert(0, str(Path(__file__).parent.parent / 'lib'))\nimport b",
            "lib/b.py": "import c",
            "lib/c.py": "",
            "c.py": "",
        },
        "lib/b.py lib/c.py t/a.py",
    ),
    "links to folders": (
        "python -m a",
        {"a.py": "import p.b", "q/__init__.py": "", "q/b.py": "", "p": "-> q"},
        "a.py =p q/__init__.py q/b.py",
    ),
    "native modules": (
        "python -m a",
        {
            "a.py": "from p import _ext, both",
            "p/_ext.cpython-311-x86_64-linux-gnu.so": "",
            "p/both.abi3.so": "",
            "p/both.py": "",
            "p/other.so": "",
        },
        "a.py =p/_ext.cpython-311-x86_64-linux-gnu.so =p/both.abi3.so p/both.py",
    ),
    "stubs": ("python -m a", {"a.py": "import b", "a.pyi": "", "b.py": "", "b.pyi": "import c", "c.pyi": ""}, "a.py b.py"),
    "a module that stands in for the standard library's": (
        "python -m a",
        {"a.py": "import json", "string.py": "import b", "b.py": "", "c.py": ""},
        "a.py b.py string.py",
    ),
    "start-up": (
        "PYTHONPATH=lib python -m a",
        {
            "a.py": "",
            "lib/sitecustomize.py": "import b",
            "lib/b.py": "",
            "lib/x.pth": "import c",
            "c.py": "",
            "sitecustomize.py": "",
        },
        "a.py lib/b.py lib/sitecustomize.py sitecustomize.py",
    ),
    "no start-up without a search path": ("python -m a", {"a.py": "", "sitecustomize.py": ""}, "a.py"),
    "an archive on the search path": ("PYTHONPATH=lib.zip python -m a", {"a.py": "", "lib.zip": "x"}, "a.py =lib.zip"),
    "a star of names that are not literal": (
        "python -m a",
        {"a.py": "from p import *", "p/__init__.py": "__all__ = list(x)", "p/b.py": "", "p/q/c.py": ""},
        "a.py p/__init__.py p/b.py p/q/c.py",
    ),
    "a star of another's names": (
        "python -m a",
        {
            "a.py": "from p import *",
            "p/__init__.py": "from .b import *\nfrom . import b\n__all__ = ['c'] + b.__all__",
            "p/b.py": "",
            "p/c.py": "",
        },
        "a.py p/__init__.py p/b.py p/c.py",
    ),
    "a lazy table": (
        "python -m p",
        {
            "p/__init__.py": "def __getattr__(n):\n    return import_module(f'{__name__}.{T[n]}')",
            "p/__main__.py": "",
            "p/b.py": "",
            "c.py": "",
        },
        "p/__init__.py p/__main__.py p/b.py",
    ),
    "a script of pyproject.toml": (
        "tool --x c.txt",
        {
            "pyproject.toml": "[project.scripts]\ntool = 'p.cli:main'\nother = 'q:main'",
            "src/p/cli.py": "import p.b",
            "src/p/b.py": "",
            "q.py": "",
            "c.txt": "",
        },
        "=c.txt pyproject.toml src/p/b.py src/p/cli.py",
    ),
    "entry points of pyproject.toml": (
        "python -m a",
        {
            "a.py": "entry_points(group='g')",
            "b.py": "",
            "c.py": "",
            "pyproject.toml": "[project.entry-points.g]\nx = 'b:f'\n[project.entry-points.h]\nx = 'c:f'",
        },
        "a.py b.py =pyproject.toml",
    ),
    "pytest: plugins": (
        "PYTEST_PLUGINS=b,other PYTEST_ADDOPTS='-p c' pytest -p d t",
        {
            **{f"{name}.py": "" for name in "bcdefg"},
            "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-q -p e'\n[project.entry-points.pytest11]\nx = 'f'",
            "t/test_a.py": "",
        },
        "b.py c.py d.py e.py f.py pyproject.toml t/test_a.py",
    ),
    "pytest: search path": (
        "pytest t/test_a.py",
        {"pytest.ini": "[pytest]\npythonpath = lib more", "lib/b.py": "", "more/c.py": "", "t/test_a.py": "import b, c"},
        "lib/b.py more/c.py =pytest.ini t/test_a.py",
    ),
    "pytest: any order of roots": (
        "python -m pytest t/test_a.py",
        {"t/test_a.py": "import h", "t/h.py": "", "h.py": ""},
        "h.py t/h.py t/test_a.py",
    ),
    "pytest: paths of the configuration": (
        "python -m pytest",
        {"tox.ini": "[pytest]\ntestpaths = t", "t/test_a.py": "", "u/test_b.py": ""},
        "t/test_a.py =tox.ini",
    ),
    "pytest: what it imports itself": (
        "python -m pytest t",
        {"t/test_a.py": "", "pluggy/__init__.py": "", "pluggy/b.py": "", "other.py": ""},
        "pluggy/__init__.py pluggy/b.py t/test_a.py",
    ),
}


@pytest.mark.parametrize("case", READS)
def test_what_a_program_reads(scratch: Scratch, case: str) -> None:
    """Exactly these files of the workspace, by meaning or (=) by their bytes."""
    command, files, expected = READS[case]
    found = inputs(scratch, command, files)
    assert found.whole_tree == ""
    assert " ".join(("" if item.form is Form.MEANING else "=") + item.path for item in found.items) == expected


@pytest.mark.parametrize(
    ("command", "files", "reason"),
    [
        ("python -m a", {"a.py": "os.walk(Path(__file__).parent)"}, "a.py reads files by paths that are known only at run time"),
        ("pytest", {"a.py": ""}, "pytest without a path looks everywhere"),
        ("pytest t", {"t/test_a.py": "", "pytest.ini": "[pytest]\naddopts = -c x.ini"}, "pytest is told to look elsewhere by -c"),
        ("tool x", {"a.py": "", "pyproject.toml": "[project.scripts]\nother = 'a:main'"}, "tool may read anything"),
        ("mypy a.py", {"a.py": ""}, "mypy may read anything"),
    ],
)
def test_where_everything_counts(scratch: Scratch, command: str, files: dict[str, str], reason: str) -> None:
    """What nobody can tell takes the whole tree, and says why."""
    assert inputs(scratch, command, files).whole_tree == reason


def test_modules_that_actions_make(scratch: Scratch) -> None:
    """An import that resolves to an action's output is no stranger: the output is an input, by its action's key."""
    action = '[action.ext]\ncmd = "cc"\nouts = ["p/_ext.cpython-311-x86_64-linux-gnu.so", "gen/made.py"]\n'
    scratch.write("BUILD.toml", scratch.read("BUILD.toml") + action)
    found = inputs(scratch, "python -m gen.made && python -c 'from p import _ext'", {"a.py": ""}, deps='["//:ext"]')
    assert (found.whole_tree, found.problems, found.warnings) == ("", (), ())
    assert {item.path: item.form for item in found.items} == {
        "gen/made.py": Form.OUTPUT,
        "p/_ext.cpython-311-x86_64-linux-gnu.so": Form.OUTPUT,
    }


def test_a_dynamic_import_that_names_nothing_takes_the_whole_tree(scratch: Scratch) -> None:
    """Nobody can tell what is loaded, so everything counts, with the file that is to blame."""
    found = inputs(
        scratch, "python -m a", {"a.py": "import b", "b.py": "import importlib, sys\nimportlib.import_module(sys.argv[1])"}
    )
    assert found.whole_tree == "b.py imports by a name that is known only at run time"
    assert [(item.path, item.form, item.reason) for item in found.items] == [("", Form.TREE, Reason.WHOLE_TREE)]


def test_reasons_and_chains(scratch: Scratch) -> None:
    """Each input says why it is there and through which files it is reached, by the shortest way."""
    files = {
        "a.py": "import b\nimport d",
        "b.py": "import c",
        "c.py": "import d",
        "d.py": "__import__(f'p.{x}')",
        "p/__init__.py": "",
        "p/q.py": "",
    }
    found = inputs(scratch, "python -m a configs/tiny.toml", files, inputs='["docs/*.txt"]').by_path()
    rows = {path: item.row() for path, item in found.items()}
    assert {path: (item.reason, way_to(path, rows)) for path, item in found.items()} == {
        "a.py": (Reason.IMPORTED, ()),
        "b.py": (Reason.IMPORTED, ("a.py",)),
        "c.py": (Reason.IMPORTED, ("a.py", "b.py")),
        "d.py": (Reason.IMPORTED, ("a.py",)),
        "p/__init__.py": (found["p/__init__.py"].reason, ("a.py", "d.py")),
        "p/q.py": (Reason.WIDENED, ("a.py", "d.py")),
        "configs/tiny.toml": (Reason.NAMED, ()),
        "docs/a.txt": (Reason.DECLARED, ()),
    }


@pytest.mark.parametrize(
    ("command", "keys", "forms"),
    [
        ("python -m a configs/tiny.toml", {}, {"a.py": "meaning", "configs/tiny.toml": "meaning"}),
        ("python -m a x.json", {}, {"a.py": "meaning", "x.json": "meaning"}),
        ("python -m a && cat x.json", {}, {"a.py": "bytes", "x.json": "bytes"}),
        ("python -m a configs/tiny.toml", {"exact": "true"}, {"a.py": "bytes", "configs/tiny.toml": "bytes"}),
        ("cat a.py configs/tiny.toml", {}, {"a.py": "bytes", "configs/tiny.toml": "bytes"}),
        ("python -m a && grep -q x a.py", {}, {"a.py": "bytes"}),
        ("python -m a a.py", {}, {"a.py": "bytes"}),
        ("ruff check", {"inputs": '["a.py"]'}, {"a.py": "bytes"}),
        ("true", {"infer": "false", "inputs": '["a.py"]'}, {"a.py": "bytes"}),
        ("cat a.py", {"infer": "false", "inputs": '["docs/a.txt"]'}, {"docs/a.txt": "bytes"}),
        ("python -m a", {"deps": '["//:a"]'}, {"a.py": "meaning", "configs/tiny.toml": "meaning"}),
    ],
)
def test_what_counts_of_an_input(scratch: Scratch, command: str, keys: dict[str, str], forms: dict[str, str]) -> None:
    """Meaning where the reader sees only meaning; bytes for readers of bytes, for exact gates, and where nothing is known."""
    scratch.write("BUILD.toml", scratch.read("BUILD.toml") + '[files.a]\nsrcs = ["configs/tiny.toml"]\n')
    found = inputs(scratch, command, {"a.py": "x = 1\n", "x.json": "{}\n"}, **keys)
    assert found.whole_tree == ""
    assert {item.path: item.form.value for item in found.items} == forms


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("python gone.py", "gone.py is named by the command and does not exist"),
        ("cd gone && true", "gone is named by the command and does not exist"),
        ("python -m pytest gone", "gone is named by the command and does not exist"),
        ("python -m compileall docs", "docs is named by the command and holds no Python file"),
        ("python -m nmoe.train", "nmoe.train is named by the command and is not in the workspace"),
    ],
)
def test_what_a_command_names_must_be_there(scratch: Scratch, command: str, problem: str) -> None:
    """A gate whose program is missing fails before it is run, and says why."""
    assert inputs(scratch, command, {"a.py": ""}).problems == (problem,)


@pytest.mark.parametrize(("keys", "whole"), [({}, True), ({"inputs": '["a.py"]'}, False)])
def test_a_module_that_nobody_knows_may_read_anything(scratch: Scratch, keys: dict[str, str], whole: bool) -> None:
    """An installed tool reads what it likes: the whole tree, unless inputs are declared."""
    found = inputs(scratch, "python -m sometool x", {"a.py": ""}, **keys)
    assert ("may read anything" in found.whole_tree) is whole
