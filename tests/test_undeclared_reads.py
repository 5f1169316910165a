"""A file of the workspace that is no input: ten ways to read it, and what each means makes of them.

The gate's own program is among its inputs, `docs/b.txt` is not.  A way is satisfied when the program gets at the content (or,
for the last two, at the fact that the file is there); it is named when the verdict or the log says which file it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch

from nmoe_graph import Workspace
from nmoe_graph.execute.sandbox import MEANS, _bubblewrap, _landlock


def hidden(text: str) -> str:
    """An expression for a text that inference cannot read off the file."""
    return f"bytes.fromhex('{text.encode().hex()}').decode()"


HEAD = f"import os, subprocess, sys\nD, B, M = {hidden('docs')}, {hidden('docs/b.txt')}, {hidden('from nmoe.b import Y')}\n"
HEAD += "ROOT = {root!r}\ndef got(text):\n    print('GOT' if 'wanted' in text else 'not got')\n"
WAYS = {
    "relative": "got(open(B).read())",
    "absolute": "got(open(ROOT + '/' + B).read())",
    "through the checkout": "os.chdir(ROOT)\ngot(open(B).read())",
    "an editable install": "sys.path.insert(0, ROOT)\nexec(M)\ngot('wanted' if Y == 2 else '')",
    "a symlink": "os.symlink(ROOT + '/' + D, 'link')\ngot(open('link/b.txt').read())",
    "a subprocess": "got(subprocess.run(['cat', B], capture_output=True, text=True, check=False).stdout)\n"
    "sys.exit(subprocess.run(['cat', B], check=False).returncode)",
    "a subprocess, absolute": "done = subprocess.run(['cat', ROOT + '/' + B], capture_output=True, text=True, check=False)\n"
    "got(done.stdout)\nsys.stderr.write(done.stderr)\nsys.exit(done.returncode)",
    "git show": "command = ['git', '-C', ROOT, 'show', 'HEAD:' + B]\n"
    "done = subprocess.run(command, capture_output=True, text=True, check=False)\n"
    "got(done.stdout)\nsys.exit(done.returncode)",
    "a swallowed ENOENT": "try:\n    got(open(B).read())\nexcept OSError:\n    got('')",
    "stat only": "got('wanted' if os.path.exists(B) else '')",
    "a directory listing": "got('wanted' if 'b.txt' in os.listdir(D) else '')",
}
#: Ways that the weaker means do not hinder, as docs/security.md says.
SATISFIED = {
    "audit": {"a subprocess, absolute", "git show"},
    "folder": {"absolute", "through the checkout", "an editable install", "a symlink", "a subprocess, absolute", "git show"},
}
#: Ways of which nobody hears: git is another program and says nothing of a file; the folder alone hears only what logs say.
UNNAMED = {
    "namespaces": {"git show"},
    "landlock": {"git show"},
    "audit": {"git show", "a subprocess, absolute"},
    "folder": set(WAYS) - {"relative", "a subprocess"},
}
#: Looking is no reading: the gate is not failed for it, and its log says what it could not see.
PASSES = {"stat only", "a directory listing"}


@pytest.fixture(params=MEANS)
def means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if (request.param == "namespaces" and _bubblewrap() is None) or (request.param == "landlock" and not _landlock()):
        pytest.skip(f"{request.param} cannot be had here")
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", request.param)
    return str(request.param)


@pytest.mark.parametrize("way", WAYS)
def test_undeclared_read(scratch: Scratch, cli: Callable[..., tuple[int, str, str]], means: str, way: str) -> None:
    """Never satisfied, and named, as far as the means goes; what it does not reach is written down in the tables above."""
    scratch.write("docs/b.txt", "wanted\n")
    scratch.write("check.py", HEAD.format(root=str(scratch.root)) + WAYS[way] + "\n")
    gate = '[gates."cpu:reads"]\ntier = "a"\ntimeout_s = 30\ncmd = "python check.py docs/a.txt"\n\n[bundles]\n'
    scratch.replace("configs/gates/gates.toml", "[bundles]\n", gate)
    scratch.commit()
    code, out, _ = cli("build", "cpu:reads", "--format", "json")
    (row,) = json.loads(out)["gates"]
    found = Workspace.open(scratch.root).log("cpu:reads")
    log = found[1].decode() if found else ""
    satisfied = way in SATISFIED.get(means, set())
    assert ("GOT" in log.split()) is satisfied, log
    if not satisfied:
        passes = way in PASSES or (means == "folder" and way == "a swallowed ENOENT")
        assert (code, row["verdict"]) == ((0, "passed") if passes else (1, "failed"))
    named = re.search(r"docs/b\.txt|nmoe/b\.py|nmoe\b.*installed copy|: b\.txt", f"{row['reason']}\n{notes(log)}")
    assert bool(named) is (way not in UNNAMED[means]), (row["reason"], log)
    if named and row["verdict"] == "failed" and way != "an editable install":
        assert 'add inputs = ["docs/b.txt"]' in row["reason"]


def notes(log: str) -> str:
    return "\n".join(line for line in log.splitlines() if line.startswith("["))


def test_a_file_that_the_gate_makes_is_its_own(scratch: Scratch, ask: Callable[..., Any], means: str) -> None:
    """Writing a file by the name of one that is no input, and reading it back, is no undeclared read."""
    scratch.write("docs/b.txt", "wanted\n")
    program = "open(B, 'w').write('mine')\nassert open(B).read() == 'mine'\n"
    scratch.write("check.py", HEAD.format(root="") + program)
    gate = '[gates."cpu:makes"]\ntier = "a"\ntimeout_s = 30\ncmd = "python check.py docs/a.txt"\n\n[bundles]\n'
    scratch.replace("configs/gates/gates.toml", "[bundles]\n", gate)
    assert ask("build", "cpu:makes")["verdict"] == "passed"


@pytest.mark.parametrize(
    "how", ["python -c \"open('{out}/x', 'w')\"", "python -c \"import os; os.mkdir('{out}/x')\"", "touch {out}/x"]
)
def test_writes_outside_are_refused_and_named(
    scratch: Scratch, cli: Callable[..., tuple[int, str, str]], means: str, tmp_path: Path, how: str
) -> None:
    """A gate writes in its own folder and in what it declares; `audit` binds Python, `folder` nobody."""
    out = tmp_path / "outside"
    out.mkdir()
    gate = (
        '[gates."cpu:writes"]\ntier = "a"\ntimeout_s = 30\ninputs = ["docs/a.txt"]\n'
        f'cmd = {json.dumps(how.format(out="$OUT_ROOT"))}\nrequires = [{{ name = "OUT_ROOT", write = WRITE }}]\n\n[bundles]\n'
    )
    scratch.replace("configs/gates/gates.toml", "[bundles]\n", gate.replace("WRITE", "false"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUT_ROOT", str(out))
        code, text, _ = cli("build", "cpu:writes", "--format", "json")
        free = means == "folder" or (means == "audit" and how.startswith("touch"))
        assert (code == 0) is free
        assert bool(list(out.iterdir())) is free
        if not free and how.startswith("python"):
            assert "outside its own folder" in json.loads(text)["gates"][0]["reason"]
        for path in out.iterdir():
            path.rmdir() if path.is_dir() else path.unlink()
        scratch.replace("configs/gates/gates.toml", "write = false", "write = true")
        assert cli("build", "cpu:writes", "--no-cache")[0] == 0
        assert [path.name for path in out.iterdir()] == ["x"]
