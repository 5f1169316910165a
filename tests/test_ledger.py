"""The ledger: shared through git, grown only, never lost, believed only by its signatures."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch
from signing import Trusting, trusting

from nmoe_graph import Workspace
from nmoe_graph.git.exchange import pull, push
from nmoe_graph.git.ledger import Ledger, LedgerEntry
from nmoe_graph.git.refs import LEDGER_REF, NOTES_REF, has_ledger, read_ref
from nmoe_graph.git.repository import Repository

Cli = Callable[..., tuple[int, str, str]]


def git(where: Path, *args: str, check: bool = True) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {f"GIT_{role}_{what}": "t@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(["git", *args], cwd=where, env=env, capture_output=True, text=True, check=check).stdout.strip()


@pytest.fixture
def hub(scratch: Scratch, tmp_path: Path) -> Path:
    """A bare repository that the scratch workspace knows as origin."""
    path = tmp_path / "hub.git"
    git(tmp_path, "init", "-q", "--bare", str(path))
    scratch.git("remote", "add", "origin", str(path))
    scratch.git("push", "-q", "origin", "main")
    return path


def clone(hub: Path, where: Path) -> Repository:
    git(where.parent, "clone", "-q", "-b", "main", str(hub), str(where))
    return Repository.open(where)


def entry(number: int, commit: str, key: str = "") -> LedgerEntry:
    """An envelope as far as the ledger cares: bytes under a key."""
    data = json.dumps({"number": number}).encode() + b"\n"
    return LedgerEntry(
        key or hashlib.sha256(b"%d" % number).hexdigest(),
        commit,
        f"2026-05-01T00:00:{number % 60:02}Z  passed  cpu:x{number}",
        data,
    )


def whole(repository: Repository) -> tuple[set[str], set[str]]:
    """Every envelope and every line of a clone's ledger."""
    side = Ledger(repository).here()
    return {path for path in side.files if path.startswith("results/")}, {line for lines in side.lines.values() for line in lines}


def test_what_goes_in_comes_out(scratch: Scratch) -> None:
    """By key, by digest and by commit; twice is once; a clone without a ledger says so."""
    repository = Repository.open(scratch.root)
    ledger = Ledger(repository)
    head = scratch.git("rev-parse", "HEAD")
    assert not has_ledger(repository.common_dir) and ledger.envelopes("0" * 64) == []
    one, two = entry(1, head), entry(2, head, entry(1, head).action_key)
    assert (ledger.add([one, two]), ledger.add([two, one])) == (2, 0)
    tip = ledger.tip()
    assert ledger.add([]) == 0 and ledger.tip() == tip
    assert has_ledger(repository.common_dir)
    assert sorted(ledger.envelopes(one.action_key)) == sorted([(one.digest, one.data), (two.digest, two.data)])
    assert ledger.envelope(two.digest) == two.data and ledger.envelope("0" * 64) is None
    assert ledger.notes(head) == sorted(f"{each.line}  sha256:{each.digest}" for each in (one, two))
    shown = scratch.git("log", "-1", "--notes=nmoe-graph")
    assert f"    {one.line}  sha256:{one.digest}" in shown.splitlines()
    assert scratch.git("fsck", "--strict", "--no-dangling") == ""
    scratch.git("pack-refs", "--all")
    assert read_ref(repository.common_dir, LEDGER_REF) == tip
    assert Ledger(Repository.open(scratch.root)).envelope(one.digest) == one.data


def test_union_whatever_the_order(scratch: Scratch, hub: Path, tmp_path: Path) -> None:
    """Two clones that pushed different results end with the same, and a third that pulls, too."""
    repositories = [clone(hub, tmp_path / name) for name in ("a", "b", "c")]
    head = scratch.git("rev-parse", "HEAD")
    for number, repository in enumerate(repositories[:2]):
        Ledger(repository).add([entry(number, head), entry(10, head)])
        push(repository, "origin")
    for repository in repositories:
        pull(repository, "origin")
    assert whole(repositories[0]) == whole(repositories[1]) == whole(repositories[2])
    assert len(whole(repositories[2])[0]) == len(whole(repositories[2])[1]) == 3
    exchange = push(repositories[1], "origin")
    assert (exchange.received, exchange.sent, exchange.rewritten) == (0, 0, ())


def test_twenty_clones_push_at_once(scratch: Scratch, hub: Path, tmp_path: Path) -> None:
    """Nothing is lost: what anybody pushed is in the remote, and each was told the truth about it."""
    head = scratch.git("rev-parse", "HEAD")
    repositories = [clone(hub, tmp_path / f"c{number}") for number in range(20)]
    for number, repository in enumerate(repositories):
        Ledger(repository).add([entry(number * 10 + each, head) for each in range(2)])
    with ThreadPoolExecutor(20) as pool:
        exchanges = list(pool.map(lambda repository: push(repository, "origin"), repositories))
    assert all(exchange.rewritten == () for exchange in exchanges)
    last = clone(hub, tmp_path / "last")
    pull(last, "origin")
    files, lines = whole(last)
    due = [entry(number * 10 + each, head) for number in range(20) for each in range(2)]
    assert files == {one.path for one in due}
    assert lines == {f"{one.line}  sha256:{one.digest}" for one in due}
    assert git(hub, "fsck", "--strict", "--no-dangling") == ""


def test_many_processes_of_one_clone(scratch: Scratch, tmp_path: Path) -> None:
    """Six at once add to one ledger; all of it is there."""
    head = scratch.git("rev-parse", "HEAD")
    code = (
        "import sys; sys.path.insert(0, sys.argv[3])\n"
        "from pathlib import Path\n"
        "from test_ledger import entry\n"
        "from nmoe_graph.git.ledger import Ledger\n"
        "from nmoe_graph.git.repository import Repository\n"
        "Ledger(Repository.open(Path(sys.argv[1]))).add([entry(int(sys.argv[2]), sys.argv[4])])\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(scratch.root), str(number), str(Path(__file__).parent), head])
        for number in range(6)
    ]
    assert [one.wait() for one in started] == [0] * 6
    assert len(whole(Repository.open(scratch.root))[0]) == 6


def test_a_squash_and_a_gc_lose_nothing(scratch: Scratch, hub: Path, tmp_path: Path) -> None:
    """The tested commit of a branch that was squashed and deleted everywhere is still there to be looked at."""
    scratch.git("checkout", "-q", "-b", "work")
    scratch.write("nmoe/a.py", "X = 5\n")
    tested = scratch.commit("tested")
    repository = Repository.open(scratch.root)
    Ledger(repository).add([entry(1, tested)])
    push(repository, "origin")
    scratch.git("checkout", "-q", "main")
    scratch.git("merge", "-q", "--squash", "work")
    scratch.commit("squashed")
    scratch.git("branch", "-q", "-D", "work")
    scratch.git("reflog", "expire", "--expire=now", "--all")
    scratch.git("gc", "-q", "--prune=now")
    git(hub, "gc", "-q", "--prune=now")
    assert scratch.git("cat-file", "-t", tested) == "commit"
    other = clone(hub, tmp_path / "other")
    pull(other, "origin")
    assert git(other.root, "show", f"{tested}:nmoe/a.py") == "X = 5"
    assert Ledger(other).envelope(entry(1, tested).digest) is not None


def test_only_additions_count(scratch: Scratch, hub: Path, tmp_path: Path, cli: Cli) -> None:
    """A remote that takes something back is reported, loses nothing here, and gets it again."""
    repository = Repository.open(scratch.root)
    head = scratch.git("rev-parse", "HEAD")
    Ledger(repository).add([entry(1, head), entry(2, head)])
    push(repository, "origin")
    kept = whole(repository)
    vandal = clone(hub, tmp_path / "vandal")
    pull(vandal, "origin")
    git(vandal.root, "notes", "--ref=nmoe-graph", "add", "-f", "-m", "all is well", head)
    git(vandal.root, "push", "-q", "-f", "origin", f"{NOTES_REF}:{NOTES_REF}")
    git(hub, "update-ref", "-d", LEDGER_REF)
    code, out, err = cli("results", "pull")
    assert code == 1 and "rewrote the note" in err and "no longer has the envelope" in err
    assert whole(repository)[0] == kept[0] and whole(repository)[1] == kept[1] | {"all is well"}
    code, out, err = cli("results", "push", "--format", "json")
    assert json.loads(out)["sent"] == 2
    assert cli("results", "pull")[0] == 0
    fresh = clone(hub, tmp_path / "fresh")
    pull(fresh, "origin")
    assert whole(fresh)[0] == kept[0]


def test_what_a_remote_makes_up_is_passed_over(scratch: Scratch, hub: Path, tmp_path: Path) -> None:
    """A file under another's digest, strange paths and lines with control bytes are reported and never taken in."""
    head = scratch.git("rev-parse", "HEAD")
    forger = clone(hub, tmp_path / "forger")
    tree = tmp_path / "tree"
    name = "0" * 64
    for path in (f"results/00/{name}/{name}.json", "results/00/x.json", "README", f"results/11/{name}/{name}.json"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text("{}")
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "x")
    git(tree, "push", "-q", str(hub), f"HEAD:{LEDGER_REF}")
    (tmp_path / "note").write_bytes(b"\x1b[2Jevil\nplain words\n" + b"x" * 500 + b"\n")
    git(forger.root, "notes", "--ref=nmoe-graph", "add", "-F", str(tmp_path / "note"), head)
    git(forger.root, "push", "-q", "origin", f"{NOTES_REF}:{NOTES_REF}")
    repository = Repository.open(scratch.root)
    exchange = pull(repository, "origin")
    assert exchange.received == 0 and whole(repository) == (set(), {"plain words"})
    text = "\n".join(exchange.rewritten)
    assert "README is no part" in text and "is not what its name says" in text and "no printable text" in text
    assert "\x1b" not in text


def test_remotes_that_are_none(scratch: Scratch, cli: Cli, hub: Path) -> None:
    """Each with one clear error; a remote that takes nothing says why."""
    assert cli("results", "pull", "nowhere")[0] == 3
    assert cli("results", "push", "--", "--upload-pack=touch x")[0] == 2
    assert cli("results", "pull", "ext::sh -c touch% PWNED")[0] == 3
    assert not (scratch.root / "PWNED").exists()
    Ledger(Repository.open(scratch.root)).add([entry(1, scratch.git("rev-parse", "HEAD"))])
    hook = hub / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    code, _, err = cli("results", "push")
    assert code == 3 and "pre-receive hook declined" in err


def test_the_way_of_a_result(scratch: Scratch, hub: Path, tmp_path: Path, cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """Built and signed here, pulled there: `build`, `affected` and `attest` there take it for proven, by its signer's name."""
    house: Trusting = trusting(scratch, tmp_path)
    scratch.git("push", "-q", "origin", "main", "issue/01-work")
    assert cli("build", "cpu:import", "cpu:compileall")[0] == 0
    code, out, err = cli("results", "push", "--key", str(house.dev.path))
    assert (code, out) == (0, "0 received, 2 sent\n"), err
    assert cli("results", "push", "--key", str(house.dev.path))[1] == "0 received, 0 sent\n"
    there = tmp_path / "there"
    git(tmp_path, "clone", "-q", "-b", "issue/01-work", str(hub), str(there))
    workspace = Workspace.open(there)
    assert workspace.pull_results("origin").received == 2
    report = Workspace.open(there).build(["cpu:import", "cpu:compileall"])
    assert report.exit_code == 0 and all(gate.cached for gate in report)
    assert all(gate.reason.endswith("signed by dev@nmoe.example") for gate in report)
    assert all(one.proven for one in Workspace.open(there).affected() if one.label == "//gates/cpu:import")
    for what in ("cpu:import", "HEAD"):
        shown = Workspace.open(there).results(what)
        assert not shown.results and "signed by dev@nmoe.example" in {one.reason for one in shown.reused}
    block = Workspace.open(there).attest("01")
    assert block.exit_code == 0 and "cpu:import" in block.text
    note = git(there, "notes", "--ref=nmoe-graph", "show", "HEAD")
    assert Workspace.open(there).verify(note.encode(), "note").proven == ("cpu:compileall", "cpu:import")
    assert re.search(r"^2026|^20\d\d-", note)


class Said:
    """What a build says as it goes."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def started(self, label: str) -> None:
        return None

    waiting = started

    def finished(self, outcome: Any) -> None:
        return None

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_a_strangers_result_proves_nothing_and_says_why(scratch: Scratch, hub: Path, tmp_path: Path, cli: Cli) -> None:
    """It is carried, shown as refused, and the gate runs."""
    house = trusting(scratch, tmp_path)
    scratch.git("push", "-q", "origin", "main", "issue/01-work")
    assert cli("build", "cpu:import")[0] == 0
    assert cli("results", "push", "--key", str(house.stranger.path))[0] == 0
    there = tmp_path / "there"
    git(tmp_path, "clone", "-q", "-b", "issue/01-work", str(hub), str(there))
    Workspace.open(there).pull_results("origin")
    said = Said()
    assert any("key id is of no trusted key" in note for note in Workspace.open(there).why("cpu:import").notes)
    report = Workspace.open(there).build(["cpu:import"], events=said)
    assert report.exit_code == 0 and not any(gate.cached for gate in report)
    assert any("key id is of no trusted key" in text for text in said.warnings)


def test_import_and_export(scratch: Scratch, tmp_path: Path, cli: Cli) -> None:
    """A file carries results as well as a remote does; unsigned ones are not carried."""
    house = trusting(scratch, tmp_path)
    assert cli("build", "cpu:import", "cpu:compileall")[0] == 0
    _, out, _ = cli("results", "export", "--key", str(house.dev.path))
    file = tmp_path / "all.jsonl"
    file.write_text(out)
    assert cli("results", "import", str(file))[1] == "2 new of 2 signed statements\n"
    code, out, _ = cli("results", "import", str(file), "--format", "json")
    assert json.loads(out) == {"schema": "nmoe-graph/import@1", "read": 2, "new": 0}
    one = tmp_path / "one.json"
    one.write_text(json.dumps(json.loads(file.read_text().splitlines()[0]), indent=1))
    assert cli("results", "import", str(one))[1] == "0 new of 1 signed statement\n"
    assert "note: the ledger holds 2 signed statements; " in cli("results")[2]
    assert cli("results", "--format", "json")[2] == ""
    file.write_text(cli("results", "export")[1])
    code, _, err = cli("results", "import", str(file))
    assert code == 2 and "not signed" in err
    assert cli("results", "import")[0] == 2
    assert cli("results", "export", "cpu:grep")[0] == 1


def test_a_dirty_tree_is_never_stated(scratch: Scratch, tmp_path: Path, cli: Cli) -> None:
    """Its result is a cache entry of this machine and nothing else."""
    trusting(scratch, tmp_path)
    scratch.write("nmoe/a.py", "X = 9\n")
    assert cli("build", "cpu:import")[0] == 0
    assert cli("results", "export", "cpu:import")[0] == 1


def test_what_ran_before_the_commit_is_named_and_not_stated(scratch: Scratch, hub: Path, tmp_path: Path, cli: Cli) -> None:
    """Edit, build, commit, push: the proof counts here, and nobody elsewhere gets it; that is said, and how to come by one."""
    house = trusting(scratch, tmp_path)
    scratch.write("nmoe/a.py", "X = 9\n")
    assert cli("build", "cpu:import")[0] == 0
    scratch.commit("an edit")
    words = "//gates/cpu:import: what proves it at HEAD ran before there was a commit; nmoe-graph build cpu:import --no-cache"
    push = ("results", "push", "--key", str(house.dev.path))
    for args in (push, ("results", "export"), ("results", "export", "HEAD"), ("results", "export", "cpu:import")):
        assert f"note: not stated: {words}" in cli(*args)[2], args
    assert "not stated" not in cli("results", "export", "cpu:grep")[2]
    assert cli("build", "cpu:import", "--no-cache")[0] == 0
    code, out, err = cli(*push)
    assert (code, out, "not stated" in err) == (0, "0 received, 1 sent\n", False)


# -- transports ----------------------------------------------------------------------------------------------------------------


def test_over_ssh(scratch: Scratch, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As git does it: the caller's ssh command is used, and what came through is what was sent."""
    program = tmp_path / "ssh"
    program.write_text('#!/bin/sh\necho used >> "$0.log"\nwhile [ "$1" != host.example ]; do shift; done\nshift\nexec sh -c "$*"\n')
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    repository = Repository.open(scratch.root)
    Ledger(repository).add([entry(1, scratch.git("rev-parse", "HEAD"))])
    remote = f"ssh://host.example{hub}"
    assert push(repository, remote).sent == 1
    other = clone(hub, tmp_path / "other")
    assert pull(other, remote).received == 1
    assert whole(other) == whole(repository)
    assert (tmp_path / "ssh.log").read_text().count("used") >= 4


def _backend() -> str | None:
    path = Path(subprocess.run(["git", "--exec-path"], capture_output=True, text=True).stdout.strip(), "git-http-backend")
    return str(path) if path.exists() else None


class _Git(BaseHTTPRequestHandler):
    """git's own CGI program behind the smallest server that can run it."""

    root = ""
    backend = ""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "t",
        }
        done = subprocess.run([self.backend], input=body, env=env, capture_output=True)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for name, value in fields if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest)

    do_GET = do_POST = _serve

    def log_message(self, *args: object) -> None:
        return None


@pytest.mark.skipif(_backend() is None, reason="no git-http-backend here")
def test_over_http(scratch: Scratch, hub: Path, tmp_path: Path) -> None:
    """As git does it, with git's own server program."""
    git(hub, "config", "http.receivepack", "true")
    handler = type("Handler", (_Git,), {"root": str(hub.parent), "backend": _backend()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            remote = f"http://127.0.0.1:{server.server_port}/{hub.name}"
            repository = Repository.open(scratch.root)
            Ledger(repository).add([entry(1, scratch.git("rev-parse", "HEAD"))])
            assert push(repository, remote).sent == 1
            other = clone(hub, tmp_path / "other")
            assert pull(other, remote).received == 1
            assert whole(other) == whole(repository)
        finally:
            server.shutdown()
            thread.join()
