"""What a gate reads: its command line, word by word, and everything that the program it starts can import."""

from __future__ import annotations

import pytest
from conftest import Scratch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph import Workspace
from nmoe_graph.inputs.command import read_command
from nmoe_graph.inputs.gather import Form, Inputs, Reason
from nmoe_graph.inputs.imports import import_facts
from nmoe_graph.label import parse_label

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
    "python -m pytest -p plug tests": "module plug [] ; pytest [] tests",
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
        shown.append(" ".join(word for word in (one.how, one.what, one.cwd and f"@{one.cwd}", roots, *one.paths) if word))
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
        "pytest",
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
    ],
)
def test_facts_of_a_file(source: str, facts: set[tuple[object, ...]]) -> None:
    """What one file imports, read from its syntax alone."""
    assert set(import_facts(source.encode()) or ()) == facts


def test_a_file_that_cannot_be_parsed_has_no_facts() -> None:
    """None is not the same as an empty list."""
    assert import_facts(b"def f(:") is None
    assert import_facts(b"") == ()


def inputs(scratch: Scratch, command: str, files: dict[str, str], **keys: str) -> Inputs:
    """What a gate with this command reads in a workspace that holds these files."""
    scratch.git("rm", "-rq", "nmoe")
    for path, text in files.items():
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
    assert {path: (item.reason, item.via) for path, item in found.items()} == {
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
    found = inputs(scratch, command, {"a.py": "x = 1\n"}, **keys)
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
