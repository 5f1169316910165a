"""Where it is started: odd folders, encodings, and streams that are closed, full, or understand ASCII alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Scratch


def started(*args: str, where: Path, shell: str = "", **env: str) -> tuple[int, str, str]:
    """A process of its own: exit code, stdout, stderr; `shell` is what bash makes of its streams."""
    done = subprocess.run(
        ["bash", "-c", f'"$0" -m nmoe_graph "$@" {shell}', sys.executable, *args],
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **env},
        capture_output=True,
        check=False,
    )
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    assert "Traceback" not in out + err, out + err
    return done.returncode, out, err


@pytest.mark.parametrize("way", ["../none", "nmoe/../../none", "link"])
def test_a_folder_beside_a_checkout_is_not_in_it(scratch: Scratch, way: str) -> None:
    """`-C ../none` leads out of the checkout in which one stands, and so does a link; what is asked is not asked of this one."""
    none = scratch.root.parent / "none"
    none.mkdir()
    (scratch.root / "link").symlink_to(none)
    code, out, err = started("-C", way, "graph", where=scratch.root)
    assert (code, out) == (2, "") and f"{none} is in no git checkout" in err


@pytest.mark.parametrize("way", ["loop", "a" * 5000, "loop/x"])
def test_a_folder_that_cannot_be_reached(tmp_path: Path, way: str) -> None:
    """Links in a circle and a name that is too long: one short line, exit 2."""
    (tmp_path / "loop").symlink_to("loop")
    code, out, err = started("-C", way, "graph", where=tmp_path)
    assert (code, out) == (2, "") and err.startswith("error: the folder ") and "cannot be reached: " in err
    assert len(err) < 600


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """Whoever stands in a folder that somebody removed is told so."""
    (tmp_path / "gone").mkdir()
    script = f'cd gone && rmdir ../gone && exec "{sys.executable}" -m nmoe_graph graph'
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: the folder . cannot be reached: ") and "hint: " in done.stderr


@pytest.mark.parametrize("args", [["graph"], ["affected", "--since", "HEAD"], ["why", "cpu:import"], ["build", "cpu:import"]])
def test_a_stream_that_knows_ascii_alone_is_no_traceback(scratch: Scratch, args: list[str]) -> None:
    """What the encoding of a stream cannot say is spelt out; nothing is lost of what it can."""
    scratch.write("nmoe/ä.py", "Z = 3\n")
    scratch.write("nmoe/__init__.py", "from . import a, ä\n")
    code, out, err = started(*args, where=scratch.root, PYTHONIOENCODING="ascii")
    assert code == 0, err
    assert out.isascii() and err.isascii()
    if args[0] in ("affected", "why"):
        assert "nmoe/\\xe4.py" in out


@pytest.mark.parametrize(
    "args",
    [
        ["safe"],
        ["safe", "-"],
        ["verify", "-"],
        ["lint", "log", "-"],
        ["lint", "gates", "-"],
        ["sign", "-"],
        ["results", "import", "-"],
    ],
)
def test_a_closed_stdin_is_a_usage_error(scratch: Scratch, args: list[str]) -> None:
    """Whoever reads stdin and has none is told so."""
    code, out, err = started(*args, where=scratch.root, shell="<&-")
    assert (code, out) == (2, "") and "stdin is closed" in err


def test_a_declaration_can_be_handed_in(scratch: Scratch) -> None:
    """As everything else that is read."""
    assert started("lint", "gates", "-", where=scratch.root, shell="<configs/gates/gates.toml") == (0, "-: fine\n", "")
    code, out, err = started("lint", "gates", "-", where=scratch.root, shell="<<< 'x = 1'")
    assert (code, out) == (1, "") and err.startswith("error: -:1:1: unknown key x")


def test_who_reads_from_a_terminal_says_so(scratch: Scratch) -> None:
    """And does not seem to hang; a pipe is not told."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "nmoe_graph", "safe"]
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.Popen(command, cwd=scratch.root, env=where, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(terminal)
    os.write(controller, b"one\n\x04")
    out, err = done.communicate(timeout=60)
    os.close(controller)
    assert (done.returncode, out, err) == (0, b"", b"reading from the terminal; Ctrl-D ends it\n")
    assert started("safe", where=scratch.root, shell="</dev/null") == (0, "", "")


@pytest.mark.parametrize("args", [["contract", "new"], ["tier-b", "approve", "1", "--gate", "cpu:import"]])
def test_a_question_without_stdin_is_refused(scratch: Scratch, args: list[str]) -> None:
    """What would ask on a terminal asks nobody, and says what is missing."""
    code, out, err = started(*args, where=scratch.root, shell="<&-")
    assert code in (2, 3) and out == "" and err.startswith("error: ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("args", [["graph"], ["graph", "--format", "json"], ["query", "//...", "--format", "label"], ["nope"]])
def test_a_full_disk_below_stdout_is_said_once(scratch: Scratch, args: list[str]) -> None:
    """Whether the answer is short or longer than the buffer: exit 3, and one line."""
    for number in range(400):
        scratch.write(f"configs/contracts/{number:04d}-w.yaml", scratch_contract(number))
    code, _, err = started(*args, where=scratch.root, shell=">/dev/full")
    if args == ["nope"]:
        assert code == 2 and "there is no verb" in err
    else:
        assert (code, err) == (3, "error: No space left on device\n")


def scratch_contract(number: int) -> str:
    return (
        f"nmoe: {{issue: {number:04d}, slug: w, kind: feature, risk: cold, complexity: S}}\n"
        "scope: {allow: ['**']}\ngates: {required: [cpu:import]}\n"
    )


def test_what_is_handed_to_programs_is_handed_on_as_it_is(scratch: Scratch) -> None:
    """A statement is the same bytes on a stream of ASCII: it has a digest."""
    scratch.git("checkout", "-q", "-b", "größer")
    assert started("build", "cpu:import", where=scratch.root)[0] == 0
    plain, ascii_alone = (started("results", "export", where=scratch.root, PYTHONIOENCODING=name) for name in ("utf-8", "ascii"))
    assert plain == ascii_alone and plain[0] == 0


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["affected"], "nothing is committed here yet"),
        (["affected", "--since", "HEAD"], "nothing is committed here yet"),
        (["plan-merges"], "nothing is committed here yet"),
        (["build", "--at", "HEAD", "cpu:import"], "nothing is committed here yet"),
        (["contract", "status", "--offline"], "nothing is committed here yet"),
        (["results", "HEAD"], "HEAD is neither a label nor a commit"),
    ],
)
def test_before_the_first_commit_the_hint_is_to_commit(scratch: Scratch, args: list[str], what: str) -> None:
    """There is nothing to fetch, and no other ref to name."""
    scratch.git("update-ref", "-d", "refs/heads/main")
    code, out, err = started(*args, where=scratch.root)
    assert (code, out) == (2, "") and what in err and "git fetch" not in err
