"""What a gate reads: its command line, word by word, and everything that the program it starts can import."""

from __future__ import annotations

import os

import pytest
from conftest import Scratch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph import Workspace
from nmoe_graph.inputs.command import read_command
from nmoe_graph.inputs.imports import import_facts
from nmoe_graph.inputs.input import Form, Inputs, Reason
from nmoe_graph.label import parse_label
from nmoe_graph.plan.affected import way_to

LAW = settings(deadline=None, derandomize=True, max_examples=300)

#: A command line, and what it starts: "how what @folder [roots] paths".
PROGRAMS = {
    "python -m nmoe.train": "module nmoe.train []",
    "python3 -m nmoe": "module nmoe []",
    "python3.12 -m nmoe": "module nmoe []",
    "python -mnmoe": "module nmoe []",
    "python -u -W error -X dev -m nmoe": "module nmoe []",
    "python -I -m nmoe": "module nmoe -",
    'python -c "import nmoe"': "code import nmoe []",
    "python -cimport\\ x": "code import x []",
    "PYTHONPATH=src:. python -m pkg": "module pkg [,src]",
    "PYTHONPATH=src python -E -m pkg": "module pkg []",
    "export PYTHONPATH=src && python -m pkg": "module pkg [,src]",
    "env PYTHONPATH=src python -m pkg": "module pkg [,src]",
    "A=1 B=2 python x.py": "script x.py []",
    "python a/x.py": "script a/x.py [a]",
    "cd a && python x.py": "script a/x.py @a [a]",
    "cd a && cd b && python -m c": "module c @a/b [a/b]",
    "cd a\npython -m c": "module c @a [a]",
    "exec python x.py": "script x.py []",
    "! python x.py": "script x.py []",
    "python x.py > out.txt 2>&1": "script x.py []",
    "torchrun -m nmoe.train": "module nmoe.train []",
    "torchrun --nproc_per_node=8 --nnodes 2 --standalone -m nmoe.train": "module nmoe.train []",
    "torchrun --nnodes 2 train.py": "script train.py []",
    "pytest tests": "pytest - tests",
    "pytest -q -k foo tests/test_a.py::test_x": "pytest - tests/test_a.py",
    "python -m pytest tests": "pytest [] tests",
    "python -m pytest": "pytest []",
    "pytest -pplug -p no:cacheprovider tests": "pytest - tests +plug",
    "python -m pytest -p plug tests": "pytest [] tests +plug",
    "python -m compileall -q -j 4 -x foo a b": "compileall [] a b",
    "python -m py_compile a.py": "compileall [] a.py",
    "python -m unittest tests.test_a": "module tests.test_a []",
}


@pytest.mark.parametrize("command", PROGRAMS)
def test_programs_that_are_understood(command: str) -> None:
    """Which Python program a command starts, where, with which folders on its path; nothing else is read."""
    reads = read_command(command)
    shown = []
    for one in reads.programs:
        roots = f"[{','.join(one.roots)}]" if one.roots else "-"
        plugins = [f"+{name}" for name in one.plugins]
        shown.append(" ".join(word for word in (one.how, one.what, one.cwd and f"@{one.cwd}", roots, *one.paths, *plugins) if word))
    assert " ; ".join(shown) == PROGRAMS[command]
    assert reads.not_understood == ""
    assert reads.exact_words == []


#: A command line; the words that may be files for a program; those that are read byte for byte.
WORDS = {
    "python -m nmoe.train configs/a.toml --x=configs/b.toml": ({"configs/a.toml", "configs/b.toml"}, set()),
    "python -m nmoe.train --data=${NMOE_DATA}/x $CONF": (set(), set()),
    "torchrun -m nmoe.train c.toml": ({"c.toml"}, set()),
    "cd sub && python -m pkg ../x ./y": ({"x", "sub/y"}, set()),
    "cat a b | sort > c": (set(), {"a", "b"}),
    "cat < in.txt > out.txt": (set(), {"in.txt"}),
    "cd a && cat b": (set(), {"a/b"}),
    "cat 'a b' \"c d\" e\\ f": (set(), {"a b", "c d", "e f"}),
    "cat a # b": (set(), {"a"}),
    "cat a \\\n b": (set(), {"a", "b"}),
    "cat a\ncat b; cat c&&cat d": (set(), {"a", "b", "c", "d"}),
    "false || cat a": (set(), {"a"}),
    "cat a 2>/dev/null": (set(), {"a"}),
    "cat /etc/hosts ../x": (set(), set()),
    "test -f x && [ -f y ]": (set(), {"x", "y"}),
    "grep -q one docs/a.txt": (set(), {"one", "docs/a.txt"}),
    "echo docs/a.txt": (set(), set()),
    "true": (set(), set()),
}


@pytest.mark.parametrize("command", WORDS)
def test_words_that_name_files(command: str) -> None:
    """Arguments are candidates for files, relative to the folder in which they are used; outputs are not."""
    reads = read_command(command)
    assert reads.not_understood == ""
    assert {word for word in reads.words if not word.startswith("-")} == WORDS[command][0]
    assert {word for word in reads.exact_words if not word.rpartition("/")[2].startswith("-")} == WORDS[command][1]


@pytest.mark.parametrize(
    "command",
    [
        "make all",
        "ruff check .",
        "bash -c 'cat x'",
        "source x.sh",
        "time python x.py",
        "cat $(ls)",
        "cat `ls`",
        "cat *.txt",
        "cat a?",
        "cat a{b,c}",
        "cat ~/x",
        "for x in a; do cat $x; done",
        "if true; then cat a; fi",
        "(cat a)",
        "{ cat a; }",
        "f() { cat a; }",
        "cat <<EOF\nx\nEOF",
        "cat <(ls)",
        "cat a &",
        'cat "unclosed',
        "cat 'unclosed",
        "[[ -f a ]]",
        "X=$(date) cat a",
        "X=docs/a.txt; cat $X",
        "export X=docs/a.txt && cat ${X}",
        "printf -v X docs/a.txt; cat $X",
        "set -- a; cat $1",
        "cd .. && cat a",
        "cd $X && cat a",
        "cd a | true; cat b",
        "cd a || cd b; cat c",
        "env -i python x.py",
        "python",
        "python -",
        "python ../x.py",
        "python /x.py",
        "python $SCRIPT",
        "python -m $MODULE",
        "python -m json.tool x.json",
        "python -m unittest discover",
        "python -m compileall",
        "python -m compileall -i list",
        "pytest -c other.ini tests",
        "pytest --rootdir=x tests",
        "pytest --pyargs pkg",
        "pytest -o addopts=x tests",
        "PYTEST_ADDOPTS=$X pytest tests",
        "false && cd a; cat b",
        "make && cd a && true || cat b",
        "python x.py && cd a\ncat b",
        "torchrun",
        "torchrun -m $MODULE",
        "torchrun --no-python run.sh",
        "grep -r one docs",
        "grep -f patterns docs/a.txt",
        "sha256sum -c sums",
        "wc --files0-from=list",
    ],
)
def test_what_is_beyond_the_reader_is_said(command: str) -> None:
    """A command that may read what it does not name is not understood, with a reason."""
    assert read_command(command).not_understood


def test_declared_variables_are_known() -> None:
    """A declared value stands for its name; a variable of the host stays unknown."""
    assert read_command("cat $A/x ${B}/y", {"A": "docs"}).exact_words == ["docs/x"]
    assert read_command("python -m pkg", {"PYTHONPATH": "src"}).programs[0].roots == ("", "src")
    assert read_command("PYTHONPATH=src:$PYTHONPATH python -m pkg").programs[0].roots == ("", "src")


def test_programs_that_are_named_must_exist() -> None:
    """Scripts, test paths and folders that a command changes to are no mere candidates."""
    assert read_command("cd a && python b.py && python -m pytest t && python -m compileall c").must_exist == [
        "a",
        "a/b.py",
        "a/t",
        "a/c",
    ]


@LAW
@given(
    st.lists(
        st.sampled_from(
            [
                "python",
                "-m",
                "-c",
                "cat",
                "cd",
                "a/b",
                "..",
                "$X",
                "X=1",
                '"',
                "'",
                "\\",
                "|",
                "&&",
                ";",
                "\n",
                ">",
                "[",
                "(",
                "é",
                "\0",
            ]
        ),
        max_size=9,
    )
)
def test_any_text_is_read_without_an_exception(words: list[str]) -> None:
    """Whatever stands in cmd, the answer is a list of reads, and every path stays inside the workspace."""
    for joint in (" ", ""):
        reads = read_command(joint.join(words))
        assert not any(path.startswith(("/", "..")) for path in [*reads.words, *reads.exact_words, *reads.must_exist])


# -- imports -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ("import a.b as c, d", {("import", "a.b"), ("import", "d")}),
        ("from a import b, c", {("from", 0, "a", "b", "c")}),
        ("from ..a import *", {("from", 2, "a", "*")}),
        ("from . import b", {("from", 1, "", "b")}),
        ("def f():\n    import a", {("import", "a")}),
        ("try:\n    import a\nexcept ImportError:\n    import b", {("import", "a"), ("import", "b")}),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", {("import", "b")}),
        ("if typing.TYPE_CHECKING:\n    import a", set()),
        ("if not TYPE_CHECKING:\n    import a", {("import", "a")}),
        ("import_module('a.b')", {("import", "a.b")}),
        ("importlib.import_module('.b', __package__)", {("from", 1, "b")}),
        ("__import__('a')", {("import", "a")}),
        ("import_module(f'a.{x}')", {("package", "a")}),
        ("import_module('a.' + x)", {("package", "a")}),
        ("import_module('a.%s' % x)", {("package", "a")}),
        ("import_module(__name__ + x)", {("own",)}),
        ("import_module(f'{__package__}.{x}')", {("own",)}),
        ("import_module(f'.{x}', __package__)", {("own",)}),
        ("import_module(x)", {("anything", 1)}),
        ("__all__ = ['a', 'b']", {("all", "a", "b")}),
        ("pytest_plugins = ['a.b', 'c']", {("import", "a.b"), ("import", "c")}),
        ("x = 'import a'", set()),
        ("import_module('.b', 'p.q')", {("import", "p.q.b")}),
        ("import_module('..b', 'p.q')", {("import", "p.b")}),
        ("import_module('.' + x, 'p.q')", {("package", "p.q")}),
        ("import_module(name='a')", {("import", "a")}),
        ("import_module(*x)", {("anything", 1)}),
        ("import_module('a.{}'.format(x))", {("package", "a")}),
        ("from importlib import import_module as load\nload(x)", {("from", 0, "importlib", "import_module"), ("anything", 2)}),
        ("f = importlib.import_module", {("anything", 1)}),
        ("for n in ('a', 'b.c'):\n    import_module(n)", {("import", "a"), ("import", "b.c")}),
        ("N = 'a'\nimport_module(N + '.b')", {("import", "a.b")}),
        ("def f():\n    for n in ('a', 'b'):\n        __import__(n)\ndef g(n):\n    n", {("import", "a"), ("import", "b")}),
        ("for n in ('a', 'b'):\n    found[n] = __import__(n).x", {("import", "a"), ("import", "b")}),
        ("def f():\n    def g():\n        __import__(n)\n    n = x\nn = 'a'", {("anything", 3)}),
        ("def f():\n    n = 'a'\n    def g():\n        nonlocal n\n        n = x\n    __import__(n)", {("anything", 6)}),
        ("for n in ('a', x):\n    import_module(n)", {("anything", 2)}),
        ("n = 'a'\nn = x\nimport_module(n)", {("anything", 3)}),
        ("n = 'a'\ndef f(n):\n    import_module(n)", {("anything", 3)}),
        ("n = 'a' if x else y\nimport_module(n)", {("anything", 2)}),
        ("m = 'a'\nm += x\nn = m\nimport_module(n)", {("anything", 4)}),
        ("n = 'a'\nfrom x import n\nimport_module(n)", {("anything", 3), ("from", 0, "x", "n")}),
        ("map(__import__, x)", {("anything", 1)}),
        ("__import__('a', globals(), locals(), ['b'], 1)", {("from", 1, "a", "b")}),
        ("__import__('a', fromlist=['b'])", {("from", 0, "a", "b")}),
        ("TYPE_CHECKING = True\nif TYPE_CHECKING:\n    import a", {("import", "a")}),
        ("__all__ = ['a'] + b.__all__", {("all", "a", "*")}),
        ("pytest_plugins = 'a.b'", {("import", "a.b")}),
        ("pytest.importorskip('a')", {("import", "a")}),
        ("find_spec(x)", set()),
        ("mock.patch('a.b.c')", {("import", "a.b.c")}),
        ("runpy.run_module('a.b')", {("run", "module", "a.b")}),
        ("runpy.run_path('a/b.py')", {("run", "script", "a/b.py")}),
        ("run([sys.executable, '-m', 'a.b', x])", {("run", "module", "a.b")}),
        ("cmd = [python, '-c', 'import a']", {("run", "code", "import a")}),
        ("subprocess.run('python -m a')", {("run", "shell", "python -m a")}),
        ("check_output(['tool', x])", {("run", "word", "tool")}),
        ("entry_points(group='a.b')", {("entries", "a.b")}),
        ("entry_points()", {("entries", "")}),
        ("iter_modules(__path__)", {("own",)}),
        ("walk_packages()", {("anything", 1)}),
        ("exec('import a')", {("import", "a")}),
        ("Path(__file__).parent / 'a' / 'b'", {("open", "", "../a/b")}),
        ("Path(__file__, '..', 'a').resolve()", {("open", "", "../a")}),
        ("Path(__file__).resolve().parents[1].joinpath('a', 'b')", {("open", "", "../../a/b")}),
        ("Path(__file__).with_name('a')", {("open", "", "../a")}),
        ("os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, 'a')", {("open", "", "../../a")}),
        ("os.path.split(__file__)[0] + '/a'", {("open", "", "../a")}),
        ("f'{os.path.dirname(__file__)}/a'", {("open", "", "../a")}),
        ("HERE = Path(__file__).parent\nopen(HERE / 'a')", {("const", "HERE", "", ".."), ("open", "", "../a")}),
        ("def f():\n    here = Path(__file__).parent\n    return here / 'a'", {("open", "", "../a")}),
        ("for n in ('a', 'b'):\n    open(Path(__file__).parent / n)", {("open", "", "../a"), ("open", "", "../b")}),
        ("def f(n):\n    return Path(__file__).parent / n", {("below", "", "..")}),
        ("os.path.join(os.path.dirname(__file__), 'a', n)", {("below", "", "..")}),
        ("f'{os.path.dirname(__file__)}/a/{n}.txt'", {("below", "", "../a")}),
        ("Path(__file__).parent.glob('*.txt')", {("glob", "", "..", "*.txt")}),
        ("Path(__file__).parent.rglob('*.txt')", {("glob", "", "..", "**/*.txt")}),
        ("glob.glob(os.path.join(os.path.dirname(__file__), 'a', '*.txt'))", {("glob", "", "../a", "*.txt")}),
        ("os.listdir(os.path.dirname(__file__))", {("open", "", "..")}),
        ("use(Path(__file__).parent / 'a')", {("open", "", "../a")}),
        ("open(__file__)", {("open", "", ".")}),
        ("use(__file__)", {("open", "", "..")}),
        ("assert x == __file__", set()),
        ("print(Path(__file__).name)", set()),
        ("import a.b\nopen(os.path.join(os.path.dirname(a.b.__file__), 'c'))", {("import", "a.b"), ("open", "a.b", "../c")}),
        ("sys.path.insert(0, os.path.dirname(__file__))", {("path", "", "..")}),
        ("sys.path.append('lib')", {("path", "cwd", "lib")}),
        ("sys.path = [str(Path(__file__).parent)] + sys.path", {("path", "", "..")}),
        ("open('a/b.txt')", {("cwd", "a/b.txt")}),
        ("open('/etc/hosts')", set()),
        ("importlib.resources.files('a').joinpath('b')", {("open", "a", "../b")}),
        ("importlib.resources.files('a') / 'b' / 'c'", {("open", "a", "../b/c")}),
        ("importlib.resources.files(__package__) / 'b'", {("open", "", "../b")}),
        ("importlib.resources.files('a') / n", {("below", "a", "..")}),
        ("importlib.resources.read_text('a', 'b')", {("open", "a", "../b")}),
        ("importlib.resources.open_text('a', n)", {("below", "a", "..")}),
        ("pkgutil.get_data(__name__, 'b')", {("open", "", "../b")}),
        ("importlib.resources.read_text(p, 'b')", {("anything", 1)}),
    ],
)
def test_facts_of_a_file(source: str, facts: set[tuple[object, ...]]) -> None:
    """What one file imports, read from its syntax alone."""
    assert set(import_facts(source.encode())) == facts


def test_a_file_that_cannot_be_parsed_is_scanned() -> None:
    """It is scanned instead, which finds more than there is: who runs it on a newer Python must not miss an import."""
    assert import_facts(b"") == ()
    assert ("import", "a") in import_facts(b"type X = int\nimport a\n")
    found = import_facts(b'"""\nimport a\n"""\nfrom . import (b,  # c\n  d)\nimport_module("e.f"); import g as h, i\ndef f(:')
    assert set(found) == {("import", "a"), ("from", 1, "", "b", "d"), ("import", "e.f"), ("import", "g"), ("import", "i")}
    assert ("anything", 1) in import_facts(b"import_module(x)\ntype X = int")


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
