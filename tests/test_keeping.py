"""Looking after the store: what is damaged is found, what is worth least goes first, and no running build loses anything."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch, with_actions
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.errors import UsageError
from nmoe_graph.model import Output, Result, Verdict
from nmoe_graph.store.keeping import clean, inspect
from nmoe_graph.store.local import Store

Cli = Callable[..., tuple[int, str, str]]
Ask = Callable[..., Any]

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEYS = [f"{number:02x}" * 32 for number in range(1, 6)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "nmoe-graph")


def put(store: Store, key: str, days: float, verdict: Verdict = Verdict.PASSED, log: bytes = b"", commit: str = "c" * 40) -> Result:
    """A result that began so many days before NOW, with a log of its own and an output."""
    started = (NOW - timedelta(days=days)).isoformat().replace("+00:00", "Z")
    outputs = (Output("x", 0o100644, store.put_blob(f"out {key} {days}".encode())),)
    whole = Result(key, f"//gates/cpu:{key[:2]}", verdict, started=started, commit=commit, tree="d" * 40, outputs=outputs)
    return store.record(whole, log or f"log {key} {days} {verdict}".encode())


def age_files(store: Store, seconds: float) -> None:
    """Every file of the store was written that long ago."""
    then = NOW.timestamp() - seconds
    for path in store.root.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def names(store: Store) -> list[tuple[str, str]]:
    return sorted((one.action_key[:2], one.started[:10]) for one in store.all())


def sweep(store: Store, **limits: Any) -> Any:
    return clean(store, now=NOW.timestamp(), wait_s=0.2, **limits)


# -- gc ------------------------------------------------------------------------------------------------------------------------


def test_age_takes_what_proves_nothing_new(store: Store) -> None:
    """Old failures and old proofs that have a newer one go; the newest proof of each key stays whatever its age."""
    put(store, KEYS[0], 90)
    put(store, KEYS[0], 60)
    put(store, KEYS[0], 50, Verdict.FAILED)
    put(store, KEYS[1], 10, Verdict.FAILED)
    put(store, KEYS[2], 200)
    age_files(store, 100 * 86_400)
    done = sweep(store, most_age_s=30 * 86_400)
    assert sorted((one.action_key[:2], one.verdict.value) for one, _ in done.removed) == [("01", "failed"), ("01", "passed")]
    assert names(store) == [("01", "2026-04-02"), ("02", "2026-05-22"), ("03", "2025-11-13")]
    assert inspect(store).exit_code == 0


def test_size_takes_the_worthless_first_and_the_anchored_last(store: Store) -> None:
    """Failures, then proofs that have a newer one, then newest proofs by age, and at the very end what the ledger holds."""
    order = [
        put(store, KEYS[0], 90),  # has a newer one
        put(store, KEYS[1], 80, Verdict.FAILED),
        put(store, KEYS[2], 70),
        put(store, KEYS[0], 60),
        put(store, KEYS[3], 300, commit="a" * 40),
        put(store, KEYS[4], 200, Verdict.FAILED, commit="a" * 40),
    ]
    age_files(store, 0)
    expected = [order[0], order[1], order[2], order[3], order[4], order[5]]
    gone = []
    while store.all():
        done = sweep(
            store, most_bytes=sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file()) - 1, anchored=["a" * 40]
        )
        gone += [one for one, _ in done.removed]
        assert len(done.removed) == 1
        assert done.left == sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    assert gone == expected
    assert done.left == 0


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(KEYS), st.integers(0, 100), st.sampled_from([Verdict.PASSED, Verdict.FAILED, Verdict.FLAKY])),
        max_size=12,
        unique=True,
    ),
    st.one_of(st.none(), st.integers(0, 5000)),
    st.one_of(st.none(), st.integers(0, 100)),
)
def test_laws_of_cleaning(tmp_path_factory: pytest.TempPathFactory, rows: list[Any], size: int | None, days: int | None) -> None:
    """What is left is whole and fits; a key loses its newest proof only for room; a second time removes nothing."""
    store = Store(tmp_path_factory.mktemp("s") / "nmoe-graph")
    made = [put(store, key, age, verdict) for key, age, verdict in rows]
    age_files(store, 10_000)
    limits = {"most_bytes": size, "most_age_s": None if days is None else days * 86_400.0}
    done = sweep(store, **limits)
    left = store.all()
    assert len(left) + len(done.removed) == len(made)
    assert inspect(store).exit_code == 0
    assert size is None or done.left <= size
    newest = {}
    for one in sorted(made, key=lambda one: one.started):
        if one.verdict is not Verdict.FAILED:
            newest[one.action_key] = one.started
    if size is None:
        assert set(newest.items()) <= {(one.action_key, one.started) for one in left}
    again = sweep(store, **limits)
    assert (again.removed, again.blobs) == ((), 0)


def test_a_blob_that_two_results_name_stays_with_the_last(store: Store) -> None:
    """A log that is equal to another's is one blob."""
    put(store, KEYS[0], 90, Verdict.FAILED, log=b"same")
    kept = put(store, KEYS[1], 1, Verdict.FAILED, log=b"same")
    age_files(store, 90 * 86_400)
    assert len(sweep(store, most_age_s=86_400 * 30).removed) == 1
    assert store.log(kept) == b"same"


def test_what_belongs_to_nobody_goes_when_it_is_old(store: Store) -> None:
    """Blobs without a result and temporary files of killed processes go after an hour, not before."""
    digest = store.put_blob(b"nobody's")
    (store.root / "results" / "01" / KEYS[0]).mkdir(parents=True)
    stray = store.root / "results" / "01" / KEYS[0] / ".x.1.2.tmp"
    stray.write_bytes(b"half")
    age_files(store, 1800)
    assert sweep(store, most_age_s=0).blobs == 0
    assert stray.exists()
    age_files(store, 4000)
    assert sweep(store, most_age_s=0).blobs == 1
    assert store.blob(digest) is None
    assert not stray.exists()


def test_a_blob_that_is_wanted_again_is_young_again(store: Store) -> None:
    """A build that finds its log in the store already may count on it."""
    digest = store.put_blob(b"wanted")
    age_files(store, 100 * 86_400)
    store.put_blob(b"wanted")
    assert clean(store, most_age_s=0, wait_s=0).blobs == 0
    assert store.blob(digest) == b"wanted"


def test_a_running_build_loses_nothing(store: Store) -> None:
    """While the store is in use, proofs and fresh blobs stay, whatever was asked; failures go."""
    put(store, KEYS[0], 90)
    put(store, KEYS[0], 60)
    put(store, KEYS[1], 90, Verdict.FAILED)
    store.put_blob(b"about to be named")
    age_files(store, 7200)
    with store.in_use():
        done = sweep(store, most_bytes=0, most_age_s=0)
    assert done.in_use
    assert [one.verdict for one, _ in done.removed] == [Verdict.FAILED]
    assert len(store.all()) == 2
    assert all(store.proof(KEYS[0], timeout_s=10**9) is not None for _ in range(2))
    assert not sweep(store, most_bytes=0).in_use
    assert store.all() == []


def test_a_disk_that_lets_nothing_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be removed is said, and still counts."""
    put(store, KEYS[0], 90)

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nmoe_graph.store.keeping.os.unlink", refuse)
    done = sweep(store, most_bytes=0)
    assert (done.removed, done.freed) == ((), 0)
    assert done.left > 0
    assert [one.what for one in done.refused] == ["Permission denied"]


KILLED = """
import os, signal, sys
from pathlib import Path
from nmoe_graph.store import keeping
from nmoe_graph.store.local import Store
left = int(sys.argv[2])
unlink = os.unlink
def counted(path):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    unlink(path)
keeping.os.unlink = counted
keeping.clean(Store(Path(sys.argv[1])), most_bytes=0, now=float(sys.argv[3]), wait_s=0)
"""


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 5, 8])
def test_killed_at_any_moment(store: Store, calls: int) -> None:
    """Whatever is left is whole, or belongs to nobody and goes the next time."""
    for number in range(3):
        put(store, KEYS[number], number)
    age_files(store, 7200)
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(store.root), str(calls), str(NOW.timestamp())], env={**os.environ, "PYTHONPATH": root}
    )
    assert done.returncode == -signal.SIGKILL
    assert inspect(store).exit_code == 0
    assert sweep(store, most_bytes=0).left == 0


# -- verify --------------------------------------------------------------------------------------------------------------------


def test_every_damage_is_found_and_put_aside(store: Store) -> None:
    """A flipped bit anywhere in any file, a cut, a file under another's name: found, put aside, and gone the next time."""
    chance = random.Random(7)
    for number in range(3):
        put(store, KEYS[number], number)
    files = sorted(path for kind in ("results", "blobs") for path in (store.root / kind).rglob("*") if path.is_file())
    for path in files:
        for way in ("bit", "cut", "empty"):
            whole = path.read_bytes()
            data = bytearray(whole)
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes({"bit": bytes(data), "cut": whole[: len(whole) // 2], "empty": b""}[way])
            found = inspect(store)
            assert [one.path for one in found.damaged] == [str(path.relative_to(store.root))]
            assert found.exit_code == 1
            assert not path.exists()
            path.write_bytes(whole)
    assert inspect(store).exit_code == 0
    assert len(list((store.root / "quarantine").iterdir())) == 3 * len(files)
    files[0].rename(files[0].with_name(KEYS[4]))
    assert inspect(store).exit_code == 1


def test_a_result_without_its_log_is_incomplete(store: Store) -> None:
    """It says what is gone."""
    result = put(store, KEYS[0], 1)
    (store.root / "blobs" / result.log_digest[:2] / result.log_digest).unlink()
    found = inspect(store)
    assert [one.what for one in found.incomplete] == ["its log is not here"]
    assert found.exit_code == 1


def test_an_empty_store_is_whole(store: Store) -> None:
    """There is nothing to find."""
    assert inspect(store) == type(inspect(store))(0, 0, 0, (), ())


# -- the command line ----------------------------------------------------------------------------------------------------------


def test_gc_and_verify_of_a_workspace(scratch: Scratch, ask: Ask, cli: Cli) -> None:
    """The verbs say what they found and removed; an output that was cleaned away is made again."""
    with_actions(scratch)
    ask("build", "cpu:made", "cpu:grep")
    whole = ask("results", "verify")
    assert (whole["damaged"], whole["incomplete"]) == ([], [])
    assert whole["results"] == 4
    assert ask("results", "gc", "--max-age", "1d")["removed"] == []
    done = ask("results", "gc", "--max-size", "0")
    assert len(done["removed"]) == 4
    assert done["left"] == 0
    assert "0 results and 0 blobs are whole" in cli("results", "verify")[1]
    assert [row["cached"] for row in ask("build", "cpu:made", "cpu:grep")["gates"]] == [False, False]
    (blob,) = [path for path in (scratch.root / ".git/nmoe-graph/blobs").rglob("*") if path.is_file()][:1]
    blob.write_bytes(blob.read_bytes()[:-1])
    code, out, _ = cli("results", "verify")
    assert code == 1
    assert "is damaged" in out
    code, _, err = cli("results", "verify")
    assert code == 1 and "note: damaged and put aside earlier: 1, in " in err


@pytest.mark.parametrize(
    "args", [("gc",), ("gc", "--max-size", "x"), ("gc", "--max-age", "3"), ("gc", "a", "--max-age", "3d"), ("verify", "a")]
)
def test_usage(cli: Cli, args: tuple[str, ...]) -> None:
    """What cannot be is said, and nothing is removed."""
    assert cli("results", *args)[0] == 2


def test_results_by_tree_and_by_key(scratch: Scratch, ask: Ask, cli: Cli) -> None:
    """A commit, a tree and an action key are found by the whole name and by a prefix that is unique."""
    ask("build", "cpu:grep", "--at", "HEAD")
    (one,) = ask("results")["results"]
    for name in ("commit", "tree", "action_key"):
        for digits in (8, len(one[name])):
            assert [row["action_key"] for row in ask("results", one[name][:digits])["results"]] == [one["action_key"]], name
    assert ask("results", "0" * 12)["results"] == []


def test_a_prefix_of_two_trees_is_ambiguous(store: Store) -> None:
    """More digits are asked for."""
    for key, tree in ((KEYS[0], "dddd" + "0" * 36), (KEYS[1], "dddd" + "1" * 36)):
        store.record(replace(put(store, key, 1), tree=tree, started="2026-05-31T01:00:00Z", commit=None), b"x")
    with pytest.raises(UsageError, match="ambiguous"):
        store.by_commit("dddd")


# -- many at once --------------------------------------------------------------------------------------------------------------

#: How many builds and gates; the figures of the issue are 50 and 20.
BUILDS = int(os.environ.get("NMOE_GRAPH_TEST_BUILDS", "5"))
GATES = int(os.environ.get("NMOE_GRAPH_TEST_GATES", "4"))


def test_many_builds_at_once_run_each_gate_once(scratch: Scratch, tmp_path: Path) -> None:
    """All builds start together; each gate writes one line; every build ends with the same verdicts, and gc runs in between."""
    runs = tmp_path / "runs"
    runs.mkdir()
    text = scratch.read("configs/gates/gates.toml").partition("[bundles]")[0]
    for number in range(GATES):
        verdict = number % 5 == 4
        text += (
            f'[gates."many:{number}"]\ntier = "a"\ntimeout_s = 60\ninputs = ["docs/a.txt"]\ninfer = false\nrequires = ["RUNS"]\n'
            f"cmd = 'echo {number} >> \"$RUNS/{number}\"; sleep 0.1; exit {int(verdict)}'\n"
        )
    scratch.write("configs/gates/gates.toml", text)
    scratch.commit()
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "RUNS": str(runs), "NMOE_GRAPH_SANDBOX": "folder"}
    gates = [f"many:{number}" for number in range(GATES)]
    command = [sys.executable, "-m", "nmoe_graph"]
    builds = [
        subprocess.Popen(
            [*command, "build", *gates, "-j", "4", "-k", "--format", "json"],
            cwd=scratch.root,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(BUILDS)
    ]
    cleaning = subprocess.run(
        [*command, "results", "gc", "--max-size", "0", "--format", "json"], cwd=scratch.root, env=env, capture_output=True
    )
    removed = {row["label"] for row in json.loads(cleaning.stdout)["removed"]}  # before a build began that was slow to start
    verdicts = set()
    for build in builds:
        out, err = build.communicate(timeout=900)
        assert build.returncode == (1 if GATES > 4 else 0), err
        verdicts.add(tuple((row["label"], row["verdict"]) for row in json.loads(out)["gates"]))
    assert len(verdicts) == 1
    for number in range(GATES):
        ran = len((runs / str(number)).read_text().splitlines())
        once_more = any(label.endswith(f":{number}") for label in removed)
        assert ran == 1 or (ran == 2 and once_more) or number % 5 == 4, (number, ran)  # what failed runs for whoever asks


def test_writers_readers_and_cleaners_at_once(store: Store) -> None:
    """Eight processes write, read and clean for a while: no reader gets a wrong byte, and the store is whole at the end."""
    code = """
import random, sys
from pathlib import Path
from nmoe_graph.model import Output, Result, Verdict
from nmoe_graph.store.keeping import clean, inspect
from nmoe_graph.store.local import Store
store, me = Store(Path(sys.argv[1])), int(sys.argv[2])
chance = random.Random(me)
for turn in range(25):
    if me == 0:
        clean(store, most_bytes=chance.choice([0, 2000, 20000]), wait_s=0.01)
        continue
    with store.in_use():
        key = f"{chance.randrange(6):02x}" * 32
        body = f"{key} {turn % 3}".encode()
        digest = store.put_blob(body)
        outputs = (Output("x", 0o100644, digest),)
        store.record(Result(key, "//gates/a:b", Verdict.PASSED, started=f"2026-01-01T00:00:{turn:02}Z", outputs=outputs), body)
        assert store.blob(digest) == body
        proof = store.proof(key, timeout_s=10)
        assert proof is not None
        assert store.blob(proof.outputs[0].digest).startswith(key.encode())
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    began = time.monotonic()
    running = [subprocess.Popen([sys.executable, "-c", code, str(store.root), str(me)], env=env) for me in range(8)]
    assert [process.wait(120) for process in running] == [0] * 8
    assert time.monotonic() - began < 120
    assert inspect(store).exit_code == 0
