"""The store on a disk that lies: damage is noticed and never served, trouble is a warning, nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nmoe_graph.errors import UsageError
from nmoe_graph.model import Output, Result, Verdict
from nmoe_graph.store.entry import read_entry, write_entry
from nmoe_graph.store.local import Store, result_from_json, result_to_json
from nmoe_graph.store.memo import SqliteMemo

KEY, OTHER = "a1" * 32, "b2" * 32


def made(**changes: object) -> Result:
    """A result with something in every field."""
    whole = Result(
        KEY,
        "//gates:cpu.import",
        Verdict.PASSED,
        reason="a reason",
        exit_code=0,
        started="2026-01-02T03:04:05.000006Z",
        duration_s=1.5,
        commit="c" * 40,
        tree="d" * 40,
        means="audit",
        fingerprint=(("os", "linux"),),
        metrics={"tokens_per_s": (1.0, 2.5)},
    )
    return replace(whole, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "nmoe-graph")


def entry_files(store: Store, kind: str) -> list[Path]:
    return sorted(path for path in (store.root / kind).rglob("*") if path.is_file())


def quarantined(store: Store) -> list[Path]:
    return sorted((store.root / "quarantine").glob("*"))


# -- entries -------------------------------------------------------------------------------------------------------------------


def test_round_trip(store: Store) -> None:
    """A result and its log come back equal, field by field."""
    kept = store.record(made(), b"the log\n")
    assert kept == made(log_digest=kept.log_digest, log_bytes=8)
    assert store.results(KEY) == [kept]
    assert store.log(kept) == b"the log\n"
    assert result_from_json(json.loads(json.dumps(result_to_json(kept)))) == kept


@pytest.mark.parametrize("body", [b"", b"x", b"\n", b"two\nlines\n", bytes(range(256))])
def test_entry_round_trip(tmp_path: Path, body: bytes) -> None:
    """Any bytes can be the body of an entry."""
    write_entry(tmp_path / "e", "blob", KEY, body)
    assert read_entry(tmp_path / "e", "blob", KEY) == body
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_every_bit_flip_is_noticed(tmp_path: Path) -> None:
    """No single flipped bit of an entry, header or body, is ever served."""
    path = tmp_path / "e"
    write_entry(path, "result", KEY, b'{"a": 1}')
    whole = path.read_bytes()
    served = []
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        for key in (KEY, None):
            if read_entry(path, "result", key) is not None:
                served.append(bit)
    assert served == []


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    """An entry cut at any length, and one with a byte too many, is absent."""
    path = tmp_path / "e"
    write_entry(path, "result", KEY, b'{"a": 1}')
    whole = path.read_bytes()
    for data in [*(whole[:length] for length in range(len(whole))), whole + b"\0", whole + whole]:
        path.write_bytes(data)
        assert read_entry(path, "result", KEY) is None


def test_another_kind_or_key_is_refused(tmp_path: Path) -> None:
    """A whole entry counts only under its own kind and key."""
    for kind, key in (("blob", KEY), ("result", OTHER)):
        write_entry(tmp_path / "e", "result", KEY, b"{}")
        assert read_entry(tmp_path / "e", kind, key) is None


def test_file_under_another_key_proves_nothing(store: Store) -> None:
    """A result moved into another action's folder is put aside and proves neither."""
    store.record(made(), b"")
    (path,) = entry_files(store, "results")
    target = store.root / "results" / OTHER[:2] / OTHER / path.name
    target.parent.mkdir(parents=True)
    path.rename(target)
    assert store.proof(OTHER, timeout_s=60) is None
    assert store.proof(KEY, timeout_s=60) is None
    assert not target.exists()
    assert len(quarantined(store)) == 1


def test_sealed_body_of_another_key_proves_nothing(store: Store) -> None:
    """A body that speaks of another action is no result, however well it is sealed."""
    body = json.dumps(result_to_json(made())).encode()
    write_entry(store.root / "results" / OTHER[:2] / OTHER / "1-x", "result", OTHER, body)
    assert store.results(OTHER) == []


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"[" * 100_000, b'{"verdict": "passed"}', b"\xff"])
def test_sealed_nonsense_is_no_result(store: Store, body: bytes) -> None:
    """A sealed body that is no result is passed over without an exception."""
    write_entry(store.root / "results" / KEY[:2] / KEY / "1-x", "result", KEY, body)
    assert store.results(KEY) == []
    assert store.all() == []


def test_damaged_file_goes_to_quarantine(store: Store) -> None:
    """A damaged file is moved aside whole, for people to look at, and the intact one beside it still counts."""
    store.record(made(started="2026-01-01T00:00:00Z"), b"one")
    store.record(made(started="2026-01-02T00:00:00Z"), b"two")
    bad = entry_files(store, "results")[0]
    bad.write_bytes(bad.read_bytes()[:-1] + b"#")
    data = bad.read_bytes()
    assert [result.started[:10] for result in store.results(KEY)] == ["2026-01-02"]
    assert [path.read_bytes() for path in quarantined(store)] == [data]
    assert list(store.damaged) == [bad.relative_to(store.root).as_posix()]


@pytest.mark.parametrize("length", [0, 1, 60, 150])
def test_empty_and_short_files_are_misses(store: Store, length: int) -> None:
    """What a crash of the machine may leave, an empty or short file, is a miss."""
    store.record(made(), b"log")
    for path in [*entry_files(store, "results"), *entry_files(store, "blobs")]:
        path.write_bytes(path.read_bytes()[:length])
    assert store.results(KEY) == []
    assert store.all() == []


def test_temporary_files_are_no_results(store: Store) -> None:
    """What a killed writer leaves beside the entries is never read."""
    store.record(made(), b"")
    (path,) = entry_files(store, "results")
    (path.parent / f".{path.name}.1.aa.tmp").write_bytes(path.read_bytes())
    assert len(store.results(KEY)) == 1


def test_folders_and_links_in_the_way_are_misses(store: Store) -> None:
    """A folder or a dangling link where a result is expected does no harm."""
    folder = store.root / "results" / KEY[:2] / KEY
    (folder / "1-a").mkdir(parents=True)
    (folder / "1-b").symlink_to("nowhere")
    (store.root / "results" / "zz").write_text("no folder")
    assert store.results(KEY) == []
    assert store.all() == []


# -- blobs ---------------------------------------------------------------------------------------------------------------------


def test_blob_round_trip_and_damage(store: Store) -> None:
    """A blob is served whole or not at all, and a damaged one is written anew."""
    digest = store.put_blob(b"data")
    (path,) = entry_files(store, "blobs")
    path.write_bytes(path.read_bytes().replace(b"data", b"DATA"))
    assert store.blob(digest) is None
    assert store.put_blob(b"data") == digest
    assert store.blob(digest) == b"data"


@pytest.mark.parametrize("digest", ["", "x", "../../../etc/passwd", "A1" * 32, KEY + "\n", KEY + "0"])
def test_blob_names_are_digests(store: Store, digest: str) -> None:
    """Nothing but 64 hex digits can reach the file system."""
    assert store.blob(digest) is None
    assert store.results(digest) == []


def test_sealed_blob_of_other_bytes_is_refused(store: Store) -> None:
    """A blob that is sealed under a digest that is not its own is refused."""
    write_entry(store.root / "blobs" / KEY[:2] / KEY, "blob", KEY, b"other bytes")
    assert store.blob(KEY) is None


def test_damaged_output_is_no_proof(store: Store) -> None:
    """A passed action proves nothing once one of its outputs is damaged or gone."""
    outputs = (Output("a", 0o100644, store.put_blob(b"one")), Output("b", 0o100755, store.put_blob(b"two")))
    store.record(made(outputs=outputs), b"")
    assert store.proof(KEY, timeout_s=60) is not None
    path = store.root / "blobs" / outputs[1].digest[:2] / outputs[1].digest
    path.write_bytes(path.read_bytes()[:-1])
    assert store.proof(KEY, timeout_s=60) is None


# -- what proves ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept_flaky", [False, True])
@pytest.mark.parametrize("verdict", list(Verdict))
def test_only_passed_proves(store: Store, verdict: Verdict, accept_flaky: bool) -> None:
    """Of all verdicts only `passed` proves, and `flaky` where the gate accepts it."""
    store.record(made(verdict=verdict), b"")
    expected = verdict is Verdict.PASSED or (verdict is Verdict.FLAKY and accept_flaky)
    assert (store.proof(KEY, timeout_s=60, accept_flaky=accept_flaky) is not None) is expected
    assert len(store.results(KEY)) == 1


def test_failures_do_not_hide_a_proof(store: Store) -> None:
    """A pass counts among failures, whichever came first."""
    for day, verdict in enumerate((Verdict.FAILED, Verdict.PASSED, Verdict.TIMED_OUT), 1):
        store.record(made(verdict=verdict, started=f"2026-01-0{day}T00:00:00Z"), b"")
    proof = store.proof(KEY, timeout_s=60)
    assert proof is not None
    assert proof.verdict is Verdict.PASSED
    assert [result.verdict.value for result in store.results(KEY)] == ["failed", "passed", "timed_out"]


@pytest.mark.parametrize(("limit", "proves"), [(1, False), (2, True), (600, True)])
def test_proof_fits_the_present_limit(store: Store, limit: int, proves: bool) -> None:
    """A pass that took longer than the limit of today proves nothing."""
    store.record(made(duration_s=1.5), b"")
    assert (store.proof(KEY, timeout_s=limit) is not None) is proves


@pytest.mark.parametrize("sample", [float("nan"), float("inf"), -1.0, -0.5])
def test_bad_samples_are_refused(store: Store, sample: float) -> None:
    """A metric that is no finite number, or negative, cannot be stored."""
    with pytest.raises(ValueError, match="loss"):
        store.record(made(metrics={"loss": (1.0, sample)}), b"")
    assert store.all() == []


# -- look-up -------------------------------------------------------------------------------------------------------------------


def test_by_label_and_all(store: Store) -> None:
    """Runs are found by label, and all of them in a fixed order."""
    store.record(made(label="//gates:b"), b"")
    store.record(made(label="//gates:a", action_key=OTHER), b"")
    assert [result.label for result in store.all()] == ["//gates:a", "//gates:b"]
    assert [result.action_key for result in store.by_label("//gates:a")] == [OTHER]
    assert store.by_label("//gates:c") == []


def test_by_commit_takes_a_unique_prefix(store: Store) -> None:
    """A prefix finds the runs of one commit; upper case is the same commit; an unknown one finds nothing."""
    store.record(made(commit="abcd" + "0" * 36), b"")
    store.record(made(commit="abce" + "0" * 36), b"")
    store.record(made(commit=None), b"")
    assert len(store.by_commit("abcd")) == 1
    assert len(store.by_commit("ABCD00")) == 1
    assert len(store.by_commit("abcd" + "0" * 36)) == 1
    assert store.by_commit("ffff") == []


def test_by_commit_refuses_an_ambiguous_prefix(store: Store) -> None:
    """Two commits behind one prefix are an error that names both."""
    store.record(made(commit="abcd" + "0" * 36), b"")
    store.record(made(commit="abcd" + "1" * 36), b"")
    with pytest.raises(UsageError, match=r"ambiguous.*abcd00000000.*abcd11111111"):
        store.by_commit("abcd")


@pytest.mark.parametrize("prefix", ["", "abc", "xyz1", "abcd" * 17, "abcd\n", "../a", "ab cd"])
def test_by_commit_refuses_what_is_no_commit(store: Store, prefix: str) -> None:
    """Too few digits, too many, or something else is an error and not an empty answer."""
    with pytest.raises(UsageError):
        store.by_commit(prefix)


# -- a disk that refuses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["write", "fsync", "open", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_disk_trouble_is_a_warning(store: Store, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Where the disk refuses, the result is returned, one warning says so, and nothing half written is left."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    warnings: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        assert store.record(made(), b"log", warnings.append) == made()
    assert len(warnings) == 1
    assert os.strerror(number) in warnings[0]
    assert store.results(KEY) == []
    assert entry_files(store, "") == []


def test_short_writes_are_continued(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes one byte at a time still makes a whole entry."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:1]))
    kept = store.record(made(), b"log")
    monkeypatch.undo()
    assert store.results(KEY) == [kept]


def test_lost_writes_are_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that says "written" and wrote nothing makes a miss, never a wrong answer."""
    monkeypatch.setattr(os, "write", lambda descriptor, data: len(data))
    kept = store.record(made(), b"log")
    monkeypatch.undo()
    assert store.results(KEY) == []
    assert store.log(kept) is None


def test_store_below_a_file(tmp_path: Path) -> None:
    """A store that cannot exist answers with nothing and gives no lock; a result is returned all the same."""
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "nmoe-graph")
    warnings: list[str] = []
    assert store.record(made(), b"", warnings.append) == made()
    assert len(warnings) == 1
    assert store.all() == []
    assert store.proof(KEY, timeout_s=60) is None
    with store.lock(KEY) as held:
        assert held is False


def without_rights(folder: Path, code: str) -> str:
    """What a program prints that may read a folder and write nothing there (root would ignore modes, so it becomes nobody)."""
    places = [folder, *folder.rglob("*")]
    closed = [above for above in folder.parents if not above.stat().st_mode & 0o005]
    before = {place: place.stat().st_mode & 0o7777 for place in (*places, *closed)}
    drop = "if os.geteuid() == 0:\n    os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
    begin = f"import json, os, sqlite3, sys, zlib\n{IMPORTS}root = Path(sys.argv[1])\n"
    try:
        for place in closed:
            place.chmod(before[place] | 0o005)
        for place in places:
            place.chmod(0o555 if place.is_dir() else 0o444)
        program = [sys.executable, "-c", begin + drop + code, str(folder)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    finally:
        for place, mode in before.items():
            if place.exists():
                place.chmod(mode)
    assert done.stderr == ""
    return done.stdout.strip()


IMPORTS = """from pathlib import Path
from nmoe_graph.model import Result, Verdict
from nmoe_graph.store.local import Store
from nmoe_graph.store.memo import SqliteMemo
"""

READ_ONLY = f"""
store, warnings = Store(root), []
new = Result("{KEY}", "//gates:x", Verdict.PASSED)
assert store.record(new, b"another log", warnings.append) == new
assert len(warnings) == 1, warnings
assert store.proof("{KEY}", timeout_s=60).label == "//gates:cpu.import"
assert store.results("{OTHER}") == []
with store.lock("{KEY}"):
    print("right")
"""


def test_read_only_folder(store: Store) -> None:
    """In a read-only store results are read; a new one is returned with a warning; damage is refused though it stays."""
    store.record(made(), b"log")
    store.record(made(action_key=OTHER), b"log")
    bad = next(path for path in entry_files(store, "results") if OTHER in str(path))
    bad.write_bytes(bad.read_bytes()[:-1])
    assert without_rights(store.root, READ_ONLY) == "right"
    assert bad.exists()


# -- many at once --------------------------------------------------------------------------------------------------------------

WRITER = f"""import sys
from pathlib import Path
from nmoe_graph.model import Result, Verdict
from nmoe_graph.store.local import Store
store = Store(Path(sys.argv[1]))
sys.stdin.read()
for number in range(5):
    result = Result("{KEY}", f"//gates:w{{sys.argv[2]}}.{{number}}", Verdict.PASSED, started="2026-01-02T03:04:05Z")
    store.record(result, b"the same log")
    assert store.proof("{KEY}", timeout_s=60) is not None
"""


def test_concurrent_writers_lose_nothing(store: Store) -> None:
    """Of 20 processes that write results of one key in the same second none loses one."""
    command = [sys.executable, "-c", WRITER, str(store.root)]
    running = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for number in range(20)
    ]
    errors = []
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
    for process in running:
        assert process.stderr is not None
        errors.append(process.stderr.read())
        process.stderr.close()
        process.wait()
    assert "".join(errors) == ""
    found = store.results(KEY)
    assert sorted(result.label for result in found) == sorted(f"//gates:w{one}.{two}" for one in range(20) for two in range(5))
    assert quarantined(store) == []
    assert [path for path in entry_files(store, "") if path.name.endswith(".tmp")] == []


def test_lock_is_exclusive_and_waits(store: Store) -> None:
    """A second holder of a lock waits, says so once, and gives up when cancelled."""
    asked: list[int] = []
    with store.lock(KEY) as first:
        other = Store(store.root)
        with other.lock(KEY, lambda: asked.append(1), lambda: True):
            pass
    assert first is True
    assert asked == [1]


# -- the memo ------------------------------------------------------------------------------------------------------------------

ROWS = {("kind.1", f"key{number}"): {"value": number, "text": "x" * number} for number in range(30)}


@pytest.fixture
def memo_file(tmp_path: Path) -> Path:
    """A memo table with rows in it."""
    path = tmp_path / "memo.sqlite"
    memo = SqliteMemo(path)
    for (kind, key), value in ROWS.items():
        memo.put(kind, key, value)
    memo.flush()
    return path


def wrong(path: Path) -> list[object]:
    """What a fresh memo on this file answers that was never put there."""
    memo = SqliteMemo(path)
    answers = [(memo.get(kind, key), value) for (kind, key), value in ROWS.items()]
    return [got for got, value in answers if got is not None and got != value]


def test_memo_round_trip(memo_file: Path) -> None:
    """Another process finds what was flushed, and None for what was not."""
    memo = SqliteMemo(memo_file)
    assert all(memo.get(kind, key) == value for (kind, key), value in ROWS.items())
    assert memo.get("kind.2", "key1") is None
    assert memo.get("kind.1", "key99") is None


def test_memo_flipped_bytes_never_lie(memo_file: Path) -> None:
    """A damaged byte anywhere in the file makes a miss, never another value and never an exception; the memo heals."""
    whole = memo_file.read_bytes()
    used = [at for at in range(len(whole)) if whole[at]]
    schema = whole.index(b"CREATE TABLE")
    spots = [*range(120), *range(schema, schema + 120), *used[:: max(1, len(used) // 250)]]
    for at in spots:
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF if at % 2 or at >= schema else 1 << at % 8
        memo_file.write_bytes(damaged)
        assert wrong(memo_file) == [], at
        memo = SqliteMemo(memo_file)
        memo.put("kind.1", "fresh", 1)
        memo.flush()
        assert memo.get("kind.1", "fresh") in (1, None)


def test_memo_swapped_row_is_a_miss(memo_file: Path) -> None:
    """A value that stands under another key is noticed by its mark."""
    db = sqlite3.connect(memo_file)
    db.execute("UPDATE memo SET (value, mark) = (SELECT value, mark FROM memo WHERE key = 'key2') WHERE key = 'key1'")
    db.commit()
    db.close()
    memo = SqliteMemo(memo_file)
    assert memo.get("kind.1", "key1") is None
    assert memo.get("kind.1", "key2") == ROWS["kind.1", "key2"]


def deleted(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 1000)


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_table(path: Path) -> None:
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE memo (something TEXT)")
    db.commit()
    db.close()


@pytest.mark.parametrize("harm", [deleted, emptied, garbage, half, other_table])
def test_memo_harmed_file_is_a_miss_and_heals(memo_file: Path, harm: Callable[[Path], None]) -> None:
    """A memo that is gone or garbage is begun anew: first a miss, and soon it answers again."""
    harm(memo_file)
    assert wrong(memo_file) == []
    for _ in range(2):  # what is damaged may be found at the first use only
        memo = SqliteMemo(memo_file)
        memo.get("kind.1", "fresh")
        memo.put("kind.1", "fresh", [1])
        memo.flush()
    assert SqliteMemo(memo_file).get("kind.1", "fresh") == [1]


def test_memo_where_nothing_can_be_written(tmp_path: Path) -> None:
    """Without a place for its file the memo is empty but still holds what this process puts into it."""
    (tmp_path / "file").write_text("")
    memo = SqliteMemo(tmp_path / "file" / "memo.sqlite")
    memo.put("kind.1", "key", {"a": 1})
    memo.flush()
    assert memo.get("kind.1", "key") == {"a": 1}
    assert memo.get("kind.1", "other") is None


def test_memo_read_only_file(memo_file: Path) -> None:
    """A read-only memo is read, a write to it is dropped in silence, and the file stays as it was."""
    whole = memo_file.read_bytes()
    code = """
memo = SqliteMemo(root / "memo.sqlite")
memo.put("kind.1", "fresh", 1)
memo.flush()
again = SqliteMemo(root / "memo.sqlite")
print(again.get("kind.1", "key3")["value"], again.get("kind.1", "fresh"))
"""
    assert without_rights(memo_file.parent, code) == "3 None"
    assert memo_file.read_bytes() == whole
