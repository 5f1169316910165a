"""What a stranger's text becomes when it is shown."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.excerpt import excerpt, fenced, one_line, plain
from nmoe_graph.safe import findings

LAW = settings(deadline=None, derandomize=True, max_examples=300)
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]|(?m:^(?:::|##\\[))")
HOST = "runner-17." + "corp.example"


def cli(*args: str, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "nmoe_graph", *args], input=stdin, capture_output=True, cwd=cwd, check=False)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]52;c;AAAA\x1b\\b", "ab"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("10 %\r50 %\r100 %\n", "100 %\n"),
        ("a\r\nb", "a\nb"),
        ("ab\bc", "ac"),
        ("pa\u200bss\u202e", "pass"),
        ("\x9b31mred", "red"),
        ("tab\there", "tab\there"),
        ("größe", "größe"),
    ],
)
def test_plain(raw: str, shown: str) -> None:
    """Sequences go as a whole, and what was overwritten on the line is not there."""
    assert plain(raw) == shown


@pytest.mark.parametrize("hidden", ["\x1b[0m", "\u200b", "\x1b]0;x\x07", "\b", "\x1b[38;5;196m"])
def test_nothing_in_the_middle_of_a_name_hides_it(hidden: str) -> None:
    """The name is put together before it is looked for."""
    middle = "x\b" if hidden == "\b" else hidden
    shown = excerpt(f"host={HOST[:9]}{middle}{HOST[9:]}\n".encode())
    assert HOST[:12] not in shown
    assert "removed]" in shown


@LAW
@given(st.binary(max_size=400) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_get_through(data: bytes) -> None:
    """Whatever a gate writes, what is shown moves no cursor, commands no runner and holds nothing that must not be public."""
    shown = excerpt(data, most=1000)
    assert not RAW.search(shown)
    assert not findings(shown)


@LAW
@given(st.text(alphabet="`~a \n", max_size=200))
def test_nothing_ends_its_fence(text: str) -> None:
    """Between the first and the last line of the block, no line is a fence as long."""
    first, *inside, last, empty = fenced(text).split("\n")
    fence = first.removesuffix("text")
    assert (last, empty) == (fence, "")
    assert set(fence) == {"`"}
    assert not any(fence in line for line in inside)


def test_long_logs_are_cut_and_counted() -> None:
    """The head and the tail stay; what is left out is counted; the whole stays below the limit."""
    log = b"".join(b"line %d\n" % number for number in range(100_000))
    shown = excerpt(log, most=5000)
    assert len(shown) < 5200
    assert shown.startswith("line 0\n")
    assert "line 99999" in shown
    assert "lines left out]" in shown
    assert len(excerpt(b"x" * 300_000, most=5000)) < 5200
    assert "characters left out" in excerpt(b"x" * 300_000)


def test_a_secret_at_a_cut_is_not_shown_in_part() -> None:
    """It is taken out before anything is cut."""
    secret = "gh" + "p_" + "aB3" * 12
    for before in range(985, 1003):
        shown = excerpt(b"x " * (before // 2) + secret.encode() + b" y" * 2000)
        assert "aB3" not in shown


def test_one_line() -> None:
    """A reason is one line, short and clean."""
    assert one_line("a\n b\x1b[0m\tc") == "a b c"
    assert one_line("x" * 500, limit=10) == "x" * 10 + "…"
    assert HOST not in one_line(f"cannot reach {HOST}")


def test_lint_log_reads_samples_and_refuses_what_is_none(tmp_path: Path) -> None:
    """Numbers that are none are refused with their line, and spoil their metric; nothing of them is printed as a number."""
    log = tmp_path / "x.log"
    log.write_text("loss: 2.5\nloss: 2.0\nloss: 3\ntps=10\ntps=nan\nx: -1\ny: 1e400\nz: 1,000\n")
    data = json.loads(cli("lint", "log", str(log), "--format", "json").stdout)
    assert data["metrics"] == [{"name": "loss", "p50": 2.5, "count": 3, "samples": [2.5, 2.0, 3.0]}]
    assert [(one["line"], one["metric"]) for one in data["refused"]] == [(5, "tps"), (6, "x"), (7, "y"), (8, "z")]


def test_lint_log_by_a_gates_pattern(tmp_path: Path) -> None:
    """With a gate, only what its pattern finds is a sample."""
    (tmp_path / "gates.toml").write_text(
        '[gates."b:x"]\ntier = "a"\ntimeout_s = 9\ncmd = "true"\nexpects = { log = "tokens/s {tps}" }\n[gates."b:y"]\ntier = "a"\n'
        'timeout_s = 9\ncmd = "true"\n'
    )
    (tmp_path / "x.log").write_text("step 1 tokens/s 10.5 loss: 3\ntokens/s  11, ok\n")
    done = cli("lint", "log", "x.log", "--gates", "gates.toml", "--gate", "b:x", "--format", "json", cwd=tmp_path)
    assert [(one["name"], one["samples"]) for one in json.loads(done.stdout)["metrics"]] == [("tps", [10.5, 11.0])]
    assert cli("lint", "log", "x.log", "--gates", "gates.toml", "--gate", "b:y", cwd=tmp_path).returncode == 2
    assert cli("lint", "log", "x.log", "--gates", "gates.toml", "--gate", "b:z", cwd=tmp_path).returncode == 2
    assert cli("lint", "log", "x.log", "--gate", "b:x", cwd=tmp_path).returncode == 2


def test_json_can_be_pasted_into_a_page(tmp_path: Path) -> None:
    """No tag of a log stands in the document."""
    (tmp_path / "x.log").write_text("<script>alert(1)</script> &amp;\n")
    out = cli("lint", "log", "x.log", "--format", "json", cwd=tmp_path).stdout
    assert b"<" not in out
    assert json.loads(out)["text"].startswith("<script>")


# -- safe ----------------------------------------------------------------------------------------------------------------------


def test_safe_of_stdin(tmp_path: Path) -> None:
    """An object a finding, with its place; exit 1; nothing of the secret beyond four characters."""
    secret = "gh" + "p_" + "aB3" * 12
    done = cli("safe", "-", "--format", "json", stdin=f"fine\nsee {secret} at 10.1.2.3\n".encode(), cwd=tmp_path)
    found = json.loads(done.stdout)["findings"]
    assert done.returncode == 1
    assert [(one["line"], one["column"], one["kind"]) for one in found] == [(2, 5, "credential"), (2, 49, "ip")]
    assert secret[:5].encode() not in done.stdout + done.stderr
    assert cli("safe", "-", stdin=b"fine\n", cwd=tmp_path).returncode == 0


def test_safe_of_folders_and_an_allow_list(tmp_path: Path) -> None:
    """Every file below a folder is looked at; declared words and words of the command line may be public, credentials never."""
    secret = "gh" + "p_" + "aB3" * 12
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text(f"wiki.corp and /data/fineweb/x and {secret}\n")
    (tmp_path / "a" / "y.bin").write_bytes(b"\0wiki.corp")

    def kinds(*more: str) -> list[str]:
        done = cli("safe", "a", "--format", "json", *more, cwd=tmp_path)
        data = json.loads(done.stdout)
        assert data["binary"] == ["a/y.bin"]
        return [one["kind"] for one in data["findings"]]

    assert kinds() == ["host", "path", "credential"]
    (tmp_path / "BUILD.toml").write_text('[workspace]\nname = "x"\n[public]\nallow = ["wiki.corp"]\n')
    assert kinds() == ["path", "credential"]
    assert kinds("--allow", "/data/fineweb") == ["path", "credential"]
    assert kinds("--allow", "/data/fineweb*") == ["credential"]
    (tmp_path / "BUILD.toml").write_text(f'[workspace]\nname = "x"\n[public]\nallow = ["{secret}"]\n')
    done = cli("safe", "a", cwd=tmp_path)
    assert done.returncode == 2
    assert secret.encode() not in done.stdout + done.stderr


def test_safe_of_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there is an error, never clean."""
    assert cli("safe", "nowhere.txt", cwd=tmp_path).returncode == 2


def test_a_second_opinion_is_asked_where_it_is_there(tmp_path: Path) -> None:
    """What is found by both counts once; without the other tool the question is an error."""
    import importlib.util

    text = b"key = " + b"gh" + b"p_" + b"aB3" * 12 + b"\n"
    done = cli("safe", "-", "--second-opinion", "detect-secrets", "--format", "json", stdin=text, cwd=tmp_path)
    if importlib.util.find_spec("detect_secrets") is None:
        assert done.returncode == 3
    else:
        assert len(json.loads(done.stdout)["findings"]) == 1
