"""One build: what runs, what does not, what it says and how it ends, whatever happens to it on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch, add_gate, bearers, stored, with_actions

from nmoe_graph import UsageError, Verdict, Workspace
from nmoe_graph.model import SANDBOX_MEANS

Cli = Callable[..., tuple[int, str, str]]
Ask = Callable[..., Any]

LIGHT = ("cpu:import", "cpu:compileall", "cpu:grep")


def start(scratch: Scratch, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """The program, as a process of its own."""
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-m", "nmoe_graph", *args, "-C", str(scratch.root)]
    whole = {**os.environ, "PYTHONPATH": root, **(env or {})}
    return subprocess.Popen(command, cwd=scratch.root, env=whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(question: Callable[[], bool], seconds: float = 8.0) -> bool:
    """Whether something comes true within that time."""
    end = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < end:
        time.sleep(0.02)
    return answer


# -- proven, and proven once ---------------------------------------------------------------------------------------------------


def test_first_build_runs_and_second_runs_nothing(cli: Cli, ask: Ask) -> None:
    """The first build proves every gate; the second proves the same with nothing run."""
    first = ask("build", *LIGHT)
    second = ask("build", *LIGHT)
    assert [(row["verdict"], row["cached"], row["proven"]) for row in first["gates"]] == [("passed", False, True)] * 3
    assert [(row["verdict"], row["cached"], row["proven"]) for row in second["gates"]] == [("passed", True, True)] * 3
    assert [row["action_key"] for row in first["gates"]] == [row["action_key"] for row in second["gates"]]
    assert "3 of 3 proven (3 cached, 0 run)" in cli("build", *LIGHT)[1]
    assert len(ask("results")["results"]) == 3


def test_other_worktree_runs_nothing(scratch: Scratch, ask: Ask, tmp_path: Path) -> None:
    """A proof counts in every worktree of the repository, and from a commit that changes nothing of it."""
    ask("build", *LIGHT)
    scratch.git("worktree", "add", "-q", str(tmp_path / "other"), "-b", "other")
    other = Scratch.__new__(Scratch)
    other.root = tmp_path / "other"
    other.write("README", "no gate reads this\n")
    other.commit()
    process = start(other, "build", *LIGHT, "--format", "json")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert [row["cached"] for row in json.loads(out)["gates"]] == [True] * 3


def test_edit_that_keeps_time_and_size_runs(scratch: Scratch, ask: Ask) -> None:
    """An edit that keeps a file's size and time is still an edit: the gate runs, and fails."""
    ask("build", "cpu:grep")
    path = scratch.root / "docs/a.txt"
    info = path.stat()
    path.write_text("two\n")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    (row,) = ask("build", "cpu:grep", code=1)["gates"]
    assert (row["verdict"], row["cached"]) == ("failed", False)
    path.write_text("one\n")
    assert ask("build", "cpu:grep")["gates"][0]["cached"] is True


def test_meaningless_edit_runs_nothing(scratch: Scratch, ask: Ask) -> None:
    """A comment in an imported module, committed or not, leaves the proof standing."""
    ask("build", "cpu:import")
    scratch.replace("nmoe/a.py", "X = 1", "X = 1  # one")
    assert ask("build", "cpu:import")["gates"][0]["cached"] is True


def test_at_a_commit(scratch: Scratch, ask: Ask) -> None:
    """--at proves the commit and not the work tree, and says which commit was proven."""
    commit = scratch.git("rev-parse", "HEAD")
    scratch.write("docs/a.txt", "two\n")
    (row,) = ask("build", "cpu:grep", "--at", "HEAD")["gates"]
    assert (row["verdict"], row["commit"]) == ("passed", commit)
    (row,) = ask("build", "cpu:grep", code=1)["gates"]
    assert (row["verdict"], row["commit"]) == ("failed", None)


def test_failures_are_stored_and_never_served(scratch: Scratch, ask: Ask, cli: Cli) -> None:
    """A failed gate is in the results, and runs again each time that it is asked for."""
    scratch.write("docs/a.txt", "two\n")
    for count in (1, 2):
        (row,) = ask("build", "cpu:grep", code=1)["gates"]
        assert (row["verdict"], row["cached"], row["proven"]) == ("failed", False, False)
        assert [one["verdict"] for one in stored(ask, "cpu:grep")] == ["failed"] * count


def test_no_cache_runs_again(ask: Ask) -> None:
    """--no-cache runs what is proven, and the second result is kept beside the first."""
    ask("build", "cpu:grep")
    assert ask("build", "cpu:grep", "--no-cache")["gates"][0]["cached"] is False
    assert len(stored(ask, "cpu:grep")) == 2


def test_dry_run_runs_nothing(ask: Ask) -> None:
    """--dry-run says what would run, keeps nothing, and is no proof."""
    report = ask("build", "cpu:grep", "cpu:import", "--dry-run", code=1)
    assert [(row["verdict"], row["reason"]) for row in report["gates"]] == [("not_run", "would run")] * 2
    assert ask("results")["results"] == []
    ask("build", "cpu:grep")
    report = ask("build", "cpu:grep", "cpu:import", "-n", code=1)
    assert [(row["label"][-6:], row["verdict"], row["cached"]) for row in report["gates"]] == [
        ("u:grep", "passed", True),
        ("import", "not_run", False),
    ]


def test_raised_limit_is_no_new_action(scratch: Scratch, ask: Ask) -> None:
    """The limit, the notes and the retries are not part of what is proven."""
    ask("build", "cpu:grep")
    scratch.replace(
        "configs/gates/gates.toml", 'timeout_s = 30\ncmd = "grep', 'timeout_s = 99\nretries = 1\nnotes = "n"\ncmd = "grep'
    )
    assert ask("build", "cpu:grep")["gates"][0]["cached"] is True


def test_proof_beyond_the_present_limit_runs_again(scratch: Scratch, ask: Ask) -> None:
    """A pass of 1.3 s does not prove a gate whose limit is 1 s now."""
    add_gate(scratch, "cpu:slow", "sleep 1.3", timeout_s=9)
    ask("build", "cpu:slow")
    scratch.replace("configs/gates/gates.toml", "timeout_s = 9", "timeout_s = 1")
    (row,) = ask("build", "cpu:slow", code=1)["gates"]
    assert (row["verdict"], row["cached"]) == ("timed_out", False)


# -- how it ends ---------------------------------------------------------------------------------------------------------------


def test_timeout_is_a_verdict(scratch: Scratch, ask: Ask) -> None:
    """A gate that runs into its limit is `timed_out`, exit 1, and the reason says how long it ran."""
    add_gate(scratch, "cpu:slow", "echo begun; sleep 60", timeout_s=1)
    (row,) = ask("build", "cpu:slow", code=1)["gates"]
    assert (row["verdict"], row["proven"]) == ("timed_out", False)
    assert "limit" in row["reason"]
    assert ask("log", "cpu:slow")["text"] == "begun\n"


def test_failing_gate_is_exit_1(scratch: Scratch, cli: Cli) -> None:
    """A failing gate is exit 1, with its last line as the reason and a hint to the log."""
    add_gate(scratch, "cpu:bad", "echo why it failed; exit 7")
    code, out, err = cli("build", "cpu:bad")
    assert code == 1
    assert "exit 7: why it failed" in out
    assert "nmoe-graph log cpu:bad" in err


def test_unknown_label_is_exit_2(ask: Ask, cli: Cli) -> None:
    """A label that names nothing is exit 2, with what was meant, and nothing runs."""
    code, _, err = cli("build", "cpu:grep", "cpu:imprt")
    assert code == 2
    assert "cpu:import" in err
    assert ask("results")["results"] == []


def test_bad_declaration_is_exit_2(scratch: Scratch, cli: Cli) -> None:
    """A declaration that cannot be read is exit 2 with file and line, for programs as JSON too."""
    scratch.replace("configs/gates/gates.toml", "timeout_s = 60", 'timeout_s = "soon"')
    code, out, err = cli("build", "cpu:grep", "--format", "json")
    assert code == 2
    assert "configs/gates/gates.toml:" in err
    document = json.loads(out)
    assert (document["schema"], document["exit_code"]) == ("nmoe-graph/error@1", 2)
    assert document["faults"][0]["at"]["file"] == "configs/gates/gates.toml"


def test_missing_variables_are_exit_3_all_at_once(scratch: Scratch, cli: Cli, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable that a gate requires and that is not set is named in one error, before anything runs."""
    add_gate(scratch, "cpu:one", "true", 'requires = ["FIRST_FOLDER", "SECOND_FOLDER"]')
    add_gate(scratch, "cpu:two", "true", 'requires = ["SECOND_FOLDER", "THIRD_FOLDER"]')
    for name in ("FIRST_FOLDER", "THIRD_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECOND_FOLDER", "x")
    code, _, err = cli("build", "cpu:grep", "cpu:one", "cpu:two")
    assert code == 3
    assert "FIRST_FOLDER" in err
    assert "THIRD_FOLDER" in err
    assert "SECOND_FOLDER" not in err
    assert ask("results")["results"] == []
    monkeypatch.setenv("FIRST_FOLDER", "x")
    monkeypatch.setenv("THIRD_FOLDER", "x")
    ask("build", "cpu:one", "cpu:two")
    for name in ("FIRST_FOLDER", "SECOND_FOLDER", "THIRD_FOLDER"):
        monkeypatch.delenv(name)
    ask("build", "cpu:one", "cpu:two")  # what is proven asks for nothing


def no_gpu(monkeypatch: pytest.MonkeyPatch, archs: tuple[str, ...] = (), gpus: tuple[str, ...] = ()) -> None:
    for module in ("build", "local"):
        monkeypatch.setattr(f"nmoe_graph.execute.{module}.host_gpus", lambda: gpus)
    monkeypatch.setattr("nmoe_graph.execute.build.host_archs", lambda: frozenset(archs))


@pytest.mark.parametrize("archs", [(), ("sm_90a",)])
def test_gate_of_another_machine_is_not_run(ask: Ask, monkeypatch: pytest.MonkeyPatch, archs: tuple[str, ...]) -> None:
    """A gate that this machine cannot run is `not_run` with what it needs, exit 3; it is never proven, and asks for no variable."""
    no_gpu(monkeypatch, archs, ("0",) if archs else ())
    monkeypatch.delenv("NMOE_DATA_PATH", raising=False)
    report = ask("build", "b200:train", "cpu:grep", code=3)
    train, grep = report["gates"]
    assert (train["verdict"], train["proven"]) == ("not_run", False)
    assert "sm_100a" in train["reason"]
    assert grep["proven"] is True
    assert report["verdict"] == "not_run"


def test_failure_beats_a_missing_machine(scratch: Scratch, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one gate failed and another has no machine, the exit code is 1."""
    no_gpu(monkeypatch)
    add_gate(scratch, "cpu:bad", "false")
    assert ask("build", "b200:train", "cpu:bad", "-k", code=1)["verdict"] == "failed"


def test_gate_gets_the_gpus_it_asks_for(scratch: Scratch, ask: Ask, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that has them a gate runs and sees as many GPUs as it asks for."""
    no_gpu(monkeypatch, ("sm_100a",), ("0", "1", "2"))
    add_gate(scratch, "b200:two", 'echo "$CUDA_VISIBLE_DEVICES"', "gpus = 2")
    ask("build", "b200:two")
    assert ask("log", "b200:two")["text"] == "0,1\n"


def test_missing_named_file_fails_without_a_run(scratch: Scratch, ask: Ask) -> None:
    """A command that names a file which is not there fails before it runs; a name like needs.py does not soften that."""
    add_gate(scratch, "cpu:named", "python needs.py")
    scratch.replace("configs/gates/gates.toml", "infer = false\n", "")
    (row,) = ask("build", "cpu:named", code=1)["gates"]
    assert (row["verdict"], row["attempts"]) == ("failed", 0)
    assert "needs.py" in row["reason"]


def test_deleted_import_target_fails(scratch: Scratch, ask: Ask) -> None:
    """A module that is imported and was deleted fails the gate; an installed copy or an old proof does not save it."""
    ask("build", "cpu:import")
    scratch.git("rm", "-q", "nmoe/a.py")
    for _ in ("in the work tree", "committed"):
        (row,) = ask("build", "cpu:import", code=1)["gates"]
        assert (row["verdict"], row["cached"]) == ("failed", False)
        scratch.commit()


def test_deleted_package_fails(scratch: Scratch, ask: Ask) -> None:
    """A package that is gone altogether fails its gates: nothing to check is not a pass."""
    scratch.git("rm", "-rq", "nmoe")
    scratch.commit()
    report = ask("build", "cpu:import", "cpu:compileall", "-k", code=1)
    assert [row["verdict"] for row in report["gates"]] == ["failed", "failed"]


def test_stops_at_the_first_failure_or_keeps_going(scratch: Scratch, ask: Ask) -> None:
    """Without --keep-going a failure stops what has not begun; with it everything runs; both are exit 1."""
    add_gate(scratch, "cpu:a", "false")
    add_gate(scratch, "cpu:b", "true")
    report = ask("build", "cpu:a", "cpu:b", "-j", "1", code=1)
    assert [row["verdict"] for row in report["gates"]] == ["failed", "not_run"]
    assert "keep-going" in report["gates"][1]["reason"]
    report = ask("build", "cpu:a", "cpu:b", "-j", "1", "--keep-going", code=1)
    assert [row["verdict"] for row in report["gates"]] == ["failed", "passed"]
    assert report["verdict"] == "failed"


# -- flaky ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accepted", [False, True])
def test_flaky(scratch: Scratch, ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, accepted: bool) -> None:
    """A pass after a retry is `flaky`: it proves only where the gate accepts that; the log keeps both attempts."""
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", "folder")
    monkeypatch.setenv("STATE_FILE", str(tmp_path / "state"))
    more = f'requires = ["STATE_FILE"]\nretries = 2\naccept_flaky = {str(accepted).lower()}'
    add_gate(scratch, "cpu:flaky", 'echo run; test -e "$STATE_FILE" || { touch "$STATE_FILE"; exit 1; }', more)
    (row,) = ask("build", "cpu:flaky", code=0 if accepted else 1)["gates"]
    assert (row["verdict"], row["attempts"], row["proven"]) == ("flaky", 2, accepted)
    assert ask("log", "cpu:flaky")["text"].count("run\n") == 2
    (row,) = ask("build", "cpu:flaky")["gates"]  # now it passes at once
    assert (row["verdict"], row["cached"]) == (("flaky", True) if accepted else ("passed", False))


def test_retries_end(scratch: Scratch, ask: Ask) -> None:
    """A gate that fails at every attempt failed, after as many attempts as it allows."""
    add_gate(scratch, "cpu:bad", "exit 9", "retries = 2")
    (row,) = ask("build", "cpu:bad", code=1)["gates"]
    assert (row["verdict"], row["attempts"]) == ("failed", 3)


# -- several at once -----------------------------------------------------------------------------------------------------------


def test_two_builds_at_once_run_a_gate_once(scratch: Scratch, ask: Ask) -> None:
    """Two processes that want the same proof at once run the gate once; the second waits, says so, and takes the result."""
    add_gate(scratch, "cpu:slow", "sleep 2")
    builds = [start(scratch, "build", "cpu:slow", "--format", "json") for _ in range(3)]
    done = [process.communicate(timeout=40) for process in builds]
    assert [process.returncode for process in builds] == [0, 0, 0]
    assert sorted(json.loads(out)["gates"][0]["cached"] for out, _ in done) == [False, True, True]
    assert any("waiting for cpu:slow" in err for _, err in done)
    assert len(stored(ask, "cpu:slow")) == 1


def test_equal_gates_run_once(scratch: Scratch, ask: Ask) -> None:
    """Two gates that are the same action are both proven by one run."""
    add_gate(scratch, "cpu:one", "sleep 0.3; echo same")
    add_gate(scratch, "cpu:two", "sleep 0.3; echo same")
    report = ask("build", "cpu:one", "cpu:two")
    assert sorted(row["cached"] for row in report["gates"]) == [False, True]
    assert len(ask("results")["results"]) == 1


def test_gates_run_side_by_side(scratch: Scratch, ask: Ask) -> None:
    """--jobs 4 runs four sleeping gates in the time of about one."""
    for number in range(4):
        add_gate(scratch, f"cpu:s{number}", f"sleep 1.0{number}")
    started = time.monotonic()
    ask("build", *(f"cpu:s{number}" for number in range(4)), "-j", "4")
    assert time.monotonic() - started < 3.5


# -- interrupted ---------------------------------------------------------------------------------------------------------------

LEAVES = "setsid sleep 300 & (setsid bash -c 'trap \"\" TERM; sleep 300; true' &); sleep 300"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_build_leaves_no_process(scratch: Scratch, ask: Ask, marker: str, number: signal.Signals) -> None:
    """Ctrl-C is 130; after it, and after TERM and KILL, no process of any gate is left, and no result is kept."""
    for name in ("cpu:x", "cpu:y", "cpu:z"):
        add_gate(scratch, name, f"{LEAVES} # {name}", f'env = {{ MARKER = "{marker}" }}')
    build = start(scratch, "build", "cpu:x", "cpu:y", "cpu:z", "-j", "2")
    assert until(lambda: len(bearers(marker)) >= 8)
    build.send_signal(number)
    _, err = build.communicate(timeout=20)
    assert build.returncode == (130 if number is signal.SIGINT else -number)
    assert until(lambda: not bearers(marker))
    assert "Traceback" not in err
    assert ask("results")["results"] == []


@pytest.mark.parametrize("seed", range(4))
def test_build_killed_at_any_moment(scratch: Scratch, ask: Ask, marker: str, tmp_path: Path, seed: int) -> None:
    """After a kill -9 at a random moment the next build is right, no process is left, and no folder of the killed one stays."""
    temp = tmp_path / "temp"
    temp.mkdir()
    with_actions(scratch)
    for count in range(3):
        add_gate(
            scratch,
            f"cpu:g{count}",
            f"setsid sleep 300 & sleep 0.{count}; grep -q one docs/a.txt",
            f'env = {{ MARKER = "{marker}" }}',
        )
    add_gate(scratch, "cpu:bad", "sleep 0.2; grep -q two docs/a.txt")
    gates = ["cpu:g0", "cpu:g1", "cpu:g2", "cpu:made", "cpu:bad"]
    build = start(scratch, "build", *gates, "-k", env={"TMPDIR": str(temp)})
    if seed:
        until(lambda: bool(bearers(marker)))  # from here on gates are running
    time.sleep(random.Random(seed).uniform(0, 0.9))
    build.kill()
    build.communicate()
    assert until(lambda: not bearers(marker))
    again = start(scratch, "build", *gates, "-k", "--format", "json", env={"TMPDIR": str(temp)})
    out, err = again.communicate(timeout=40)
    assert again.returncode == 1, err
    assert {row["label"][-3:]: row["verdict"] for row in json.loads(out)["gates"]} == {
        "bad": "failed",
        ":g0": "passed",
        ":g1": "passed",
        ":g2": "passed",
        "ade": "passed",
    }
    assert list(temp.iterdir()) == []
    assert [path for path in (scratch.root / ".git/nmoe-graph").rglob("*") if "quarantine" in str(path)] == []


# -- what it says --------------------------------------------------------------------------------------------------------------


def test_json_document(scratch: Scratch, ask: Ask) -> None:
    """The JSON document of a build has these fields, gates in the order of their labels, and nothing of this machine."""
    document = ask("build", "cpu:import", "cpu:grep")
    assert set(document) == {"schema", "gates", "verdict", "trusted", "control_plane"}
    assert (document["schema"], document["verdict"]) == ("nmoe-graph/build@1", "passed")
    assert [row["label"] for row in document["gates"]] == ["//gates/cpu:grep", "//gates/cpu:import"]
    row = document["gates"][0]
    assert set(row) == {
        *("label", "verdict", "cached", "proven", "reason", "action_key", "commit"),
        *("duration_s", "started", "attempts", "sandbox", "log"),
    }
    assert row["commit"] == scratch.git("rev-parse", "HEAD")
    assert len(row["action_key"]) == 64
    assert row["sandbox"] in SANDBOX_MEANS
    assert str(scratch.root) not in json.dumps(document)


def test_progress_is_on_stderr(cli: Cli) -> None:
    """What runs is told on stderr; stdout holds the answer alone."""
    _, out, err = cli("build", "cpu:grep", "--format", "json")
    assert "running cpu:grep" in err
    assert json.loads(out)["verdict"] == "passed"


def test_results_by_label_and_commit(scratch: Scratch, ask: Ask, cli: Cli) -> None:
    """Results are found by label, by commit and by a prefix of it; a proof that a later commit shares is shown there as reused."""
    first = scratch.git("rev-parse", "HEAD")
    ask("build", "cpu:grep", "cpu:import")
    assert [row["label"] for row in stored(ask, "cpu:grep")] == ["//gates/cpu:grep"]
    for name in (first, first[:8], "HEAD"):
        document = ask("results", name)
        assert len(document["results"]) == 2
        assert document["reused"] == []
    scratch.write("docs/a.txt", "one and more\n")
    scratch.commit()
    document = ask("results", "HEAD")
    assert document["results"] == []
    assert [(row["label"], row["commit"]) for row in document["reused"]] == [("//gates/cpu:import", first)]
    assert cli("results", "cpu:nothing")[0] == 2


def test_a_proof_of_no_commit_is_named_by_its_tree(scratch: Scratch, ask: Ask, cli: Cli) -> None:
    """An edit that is not committed: the proof counts for whoever has the same inputs, and says of which tree it is."""
    scratch.write("docs/a.txt", "one and more\n")
    ask("build", "cpu:grep")
    tree = stored(ask, "cpu:grep")[0]["tree"]
    assert tree != scratch.git("rev-parse", "HEAD^{tree}")
    assert f"proven at tree {tree[:12]}" in cli("build", "cpu:grep")[1]
    assert "no commit" in cli("results")[1]


def test_log_is_made_harmless(scratch: Scratch, cli: Cli, ask: Ask) -> None:
    """Escapes, carriage returns and bidirectional marks of a log go, workflow commands are spelt out."""
    text = "\\033[2J\\033]0;title\\007red\\r\\n::error::x\\n##[group]y\\n\\342\\200\\256abc\\b\\n"
    add_gate(scratch, "cpu:loud", f"printf '{text}'")
    ask("build", "cpu:loud")
    code, out, _ = cli("log", "cpu:loud")
    assert code == 0
    assert not any(ord(char) < 32 and char not in "\n\t" for char in out)
    assert "\u202e" not in out
    assert not any(line.startswith(("::", "##[")) for line in out.splitlines())
    assert out.startswith("red\n")
    assert "\nab\n" in out
    assert "\x1b" not in json.dumps(ask("log", "cpu:loud"), ensure_ascii=False)


def test_reason_is_made_harmless(scratch: Scratch, cli: Cli) -> None:
    """The last line of a log, which becomes the reason, cannot command a terminal either."""
    add_gate(scratch, "cpu:loud", "printf '\\033[31mred\\n'; exit 1")
    code, out, err = cli("build", "cpu:loud")
    assert code == 1
    assert "\x1b" not in out + err
    assert "red" in out


def test_log_of_a_gate_that_never_ran(cli: Cli) -> None:
    """Without a log there is exit 1 and one sentence."""
    code, out, err = cli("log", "cpu:grep")
    assert (code, out) == (1, "")
    assert "cpu:grep" in err


def test_store_that_cannot_be_written(scratch: Scratch, cli: Cli) -> None:
    """Where results cannot be kept the gate is still judged: exit 0, a warning, and it runs again the next time."""
    (scratch.root / ".git/nmoe-graph").write_text("a file in the way\n")
    for _ in range(2):
        code, out, err = cli("build", "cpu:grep", "--format", "json")
        assert code == 0
        assert "warning: the result could not be stored" in err
        assert json.loads(out)["gates"][0]["cached"] is False


def test_a_damaged_proof_runs_again_and_is_named(scratch: Scratch, cli: Cli) -> None:
    """Whoever waits for the run hears why; the next build is served again, in silence."""
    assert cli("build", "cpu:import")[0] == 0
    store = Workspace.open(scratch.root).store
    (proof,) = (path for path in (store.root / "results").rglob("*") if path.is_file())
    proof.write_bytes(proof.read_bytes()[:-1] + b"#")
    name = proof.relative_to(store.root).as_posix()
    code, out, err = cli("build", "cpu:import")
    assert (code, "1 run" in out) == (0, True)
    assert f"warning: {name} in the store is damaged and counts for nothing" in err
    code, out, err = cli("build", "cpu:import")
    assert (code, "1 cached" in out, "damaged" in err) == (0, True, False)


def test_a_damaged_result_is_named_where_results_are_listed(scratch: Scratch, cli: Cli) -> None:
    """And the others are still listed."""
    assert cli("build", "cpu:import", "cpu:grep")[0] == 0
    store = Workspace.open(scratch.root).store
    path = sorted(path for path in (store.root / "results").rglob("*") if path.is_file())[0]
    path.write_bytes(b"")
    code, out, err = cli("results")
    assert code == 0 and len([line for line in out.splitlines() if "passed" in line]) == 1
    assert err.startswith(f"warning: {path.relative_to(store.root).as_posix()} in the store is damaged")


def test_no_place_for_a_sandbox(ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no sandbox can be made the verdict is `infra_error`, exit 3, and nothing is stored."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    (row,) = ask("build", "cpu:grep", code=3)["gates"]
    assert (row["verdict"], row["proven"]) == ("infra_error", False)
    monkeypatch.undo()
    assert ask("results")["results"] == []


def test_a_link_that_leads_out_by_way_of_another_is_refused(scratch: Scratch) -> None:
    """Each link looks harmless; together they would climb out of the sandbox."""
    (scratch.root / "p/q").mkdir(parents=True)
    (scratch.root / "p/q/up").symlink_to("..")
    (scratch.root / "p/q/out").symlink_to("up/../..")
    gate = '[gates."cpu:links"]\ntier = "a"\ntimeout_s = 30\ninfer = false\ninputs = ["p/**"]\ncmd = "ls p/q/out"\n\n'
    scratch.replace("configs/gates/gates.toml", "[bundles]\n", gate + "[bundles]\n")
    (gate_outcome,) = Workspace.open(scratch.root).build("cpu:links")
    assert gate_outcome.verdict is Verdict.FAILED
    assert "leaves the workspace" in gate_outcome.reason


@pytest.mark.parametrize(
    ("patterns", "gates"),
    [
        (["//gates:tier_a", "-cpu:import"], ["cpu:compileall"]),
        (["//gates:tier_a", "//contracts:01", "-cpu:import"], ["cpu:compileall"]),
        (["//gates/cpu/...", "-//gates:tier_a"], ["cpu:grep"]),
        (["//...", "-//gates/cpu:all", "-//gates/b200:all"], []),
        (["//gates/cpu/...", "-//contracts:01"], ["cpu:compileall", "cpu:grep", "cpu:import"]),
    ],
)
def test_what_is_subtracted_is_not_run_for_a_bundle_either(scratch: Scratch, patterns: list[str], gates: list[str]) -> None:
    """A gate that is taken out is out, wherever it is reached from; a bundle is its gates, and a contract is none of them."""
    scratch.contract("01")
    workspace = Workspace.open(scratch.root)
    listed = [f"//gates/{gate}" for gate in gates]
    assert [row.label for row in workspace.build(patterns, dry_run=True).gates] == listed
    assert [row.label for row in workspace.audit(patterns, budget=1).gates] == listed


def test_taking_out_what_is_not_there_is_a_mistake(scratch: Scratch) -> None:
    """As asking for it is."""
    with pytest.raises(UsageError, match="did you mean"):
        Workspace.open(scratch.root).build(["//gates:tier_a", "-cpu:imprt"])
