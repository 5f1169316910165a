"""What a command line says that it reads: the programs that it starts, and the files that it names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.inputs.command import read_command

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
