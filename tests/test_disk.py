"""Disks that are full, read-only, or take no byte: every verb says so once, keeps nothing by half, and lets go what can go.

The full and the read-only disk are small file systems in memory, where one may be mounted; what a process may not write to any
file (RLIMIT_FSIZE) is tried everywhere.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Scratch
from signing import make_key

Verb = Callable[..., tuple[int, str, str]]

#: The gates: one with a log of about 90 kB, two with short ones.
GATES = """[gates."cpu:long"]
tier = "a"
timeout_s = 30
cmd = "cat docs/a.txt; head -c 30000 /dev/urandom | od -x"

[gates."cpu:one"]
tier = "a"
timeout_s = 30
cmd = "cat docs/a.txt"

[gates."cpu:two"]
tier = "a"
timeout_s = 30
cmd = "cat docs/a.txt docs/a.txt"
"""
TRUST = '\n[trust]\nsigners = "configs/allowed_signers"\n\n[trust.tier_a]\nsandbox = "folder"\n'


def run(root: Path, *args: str, limit: int | None = None) -> tuple[int, str, str]:
    """A command line in a process of its own, which may write no file beyond `limit` bytes."""

    def bound() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-m", "nmoe_graph", *args, "-C", str(root)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=bound,
        check=False,
        env={**os.environ, "NMOE_GRAPH_SANDBOX": "folder"},
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def errors(err: str) -> int:
    return sum(line.startswith("error:") for line in err.splitlines())


def mounted(path: Path, *options: str) -> bool:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(path)], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 6 MiB of its own."""
    path = tmp_path / "small"
    path.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None or not mounted(path, "size=6m"):
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def signed(where: Path, outside: Path) -> tuple[Scratch, Path, Path]:
    """A repository whose base trusts a key, the key, and a remote."""
    where.mkdir()
    scratch = Scratch(where)
    key = make_key(outside)
    scratch.write("configs/gates/gates.toml", GATES)
    scratch.write("configs/allowed_signers", f'dev@nmoe.example namespaces="nmoe-gate-result" {key.public.line}\n')
    scratch.write("BUILD.toml", scratch.read("BUILD.toml").replace('["origin/master", "origin/main"]', '["main"]') + TRUST)
    scratch.write("configs/contracts/01-one.yaml", CONTRACT)
    scratch.commit("gates")
    remote = outside / "remote.git"
    scratch.git("init", "-q", "--bare", str(remote))
    scratch.git("remote", "add", "origin", str(remote))
    return scratch, key.path, remote


CONTRACT = """nmoe:
  issue: 01
  slug: one
  kind: feature
  risk: cold
  complexity: S

scope:
  allow: [nmoe/**]

gates:
  required: [cpu:one]
"""


def fill(disk: Path, left: int) -> Path:
    """Fill a disk but for so many bytes."""
    there = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(b"\0" * max(0, there.f_bavail * there.f_bsize - left))
    return filler


_OURS = re.compile(r".*\.(?:tmp|lock)|tmp_obj_[0-9a-f]{16}")


def halves(root: Path) -> list[Path]:
    """What was begun and not ended, by us."""
    return [path for path in (root / ".git").rglob("*") if _OURS.fullmatch(path.name)]


@pytest.mark.parametrize("left", [0, 4096, 8192, 16_384, 65_536, 100_000])
def test_a_build_on_a_full_disk_goes_on_without_storing(small: Path, tmp_path: Path, left: int) -> None:
    """Gates run, the verdict is right, what did not fit is said and runs again; what was stored is whole."""
    scratch, _, _ = signed(small / "repo", tmp_path)
    filler = fill(small, left)
    code, out, err = run(scratch.root, "build", "//gates/cpu:all")
    assert (code, out.splitlines()[-1]) == (0, "3 of 3 proven (0 cached, 3 run)")
    assert ("No space left on device" in err) == (left < 100_000) or "could not be stored" in err
    assert not halves(scratch.root)
    assert run(scratch.root, "results", "verify")[0] == 0
    kept = len(json.loads(run(scratch.root, "results", "--format", "json")[1])["results"])
    filler.unlink()
    code, out, _ = run(scratch.root, "build", "//gates/cpu:all")
    assert (code, out.splitlines()[-1]) == (0, f"3 of 3 proven ({kept} cached, {3 - kept} run)")


@pytest.mark.parametrize("left", [0, 4096, 16_384])
def test_what_works_on_a_full_disk_and_what_says_no(small: Path, tmp_path: Path, left: int) -> None:
    """Reading, attesting and cleaning work; taking in and sending say once that there is no room, and later do all of it."""
    scratch, key, remote = signed(small / "repo", tmp_path)
    assert run(scratch.root, "build", "//gates/cpu:all")[0] == 0
    listed = tmp_path / "listed"
    listed.write_text(run(scratch.root, "results", "export", "HEAD", "--key", str(key))[1])
    assert len(listed.read_text().splitlines()) == 3
    filler = fill(small, left)
    for args in (
        ["results"],
        ["results", "verify"],
        ["build", "//gates/cpu:all"],
        ["affected"],
        ["attest", "01"],
        ["results", "export", "HEAD", "--key", str(key)],
    ):
        assert run(scratch.root, *args)[0] == 0, args
    for args in (["results", "import", str(listed)], ["results", "push", "--key", str(key)]):
        code, out, err = run(scratch.root, *args)
        assert (code, out, errors(err)) == (3, "", 1), (args, out, err)
        assert "No space left on device" in err
        assert not halves(scratch.root)
    assert scratch.git("for-each-ref", "refs/nmoe-graph", "refs/notes") == ""
    code, out, _ = run(scratch.root, "results", "gc", "--max-size", "0")
    assert code == 0 and "3 results and 3 blobs removed" in out
    assert os.statvfs(small).f_bavail * os.statvfs(small).f_bsize > 90_000
    filler.unlink()
    assert run(scratch.root, "results", "import", str(listed))[1].startswith("3 new of 3")
    assert run(scratch.root, "results", "push")[1].startswith("0 received, 3 sent")
    scratch.git("fsck", "--strict")
    assert scratch.git("ls-remote", str(remote)).count("refs/") >= 2


@pytest.mark.parametrize("left", [0, 4096, 8192, 12_288, 16_384])
def test_a_pull_onto_a_full_disk_is_made_good_by_the_next(small: Path, tmp_path: Path, left: int) -> None:
    """One error; what git had moved already is whole, and with room everything is there, the notes too."""
    scratch, key, _ = signed(tmp_path / "repo", tmp_path)
    assert run(scratch.root, "build", "//gates/cpu:all")[0] == 0
    scratch.git("push", "-q", "origin", "main")
    assert run(scratch.root, "results", "push", "--key", str(key))[0] == 0
    clone = small / "clone"
    scratch.git("clone", "-q", "-b", "main", str(tmp_path / "remote.git"), str(clone))
    filler = fill(small, left)
    code, out, err = run(clone, "results", "pull")
    assert (code, out, errors(err)) == (3, "", 1), err
    assert ("No space left on device" in err or "couldn't write" in err) and "may you read it" not in err
    assert run(clone, "results", "verify")[0] == 0
    filler.unlink()
    code, out, _ = run(clone, "results", "pull")
    assert code == 0 and out.startswith(("3 received", "0 received"))
    assert scratch.git("-C", str(clone), "notes", "--ref=nmoe-graph", "show", "HEAD").count("passed") == 3
    assert run(clone, "build", "//gates/cpu:all")[1].splitlines()[-1] == "3 of 3 proven (3 cached, 0 run)"


def test_a_read_only_disk_is_read(small: Path, tmp_path: Path) -> None:
    """Proofs count, new ones are not stored, damage is said though it cannot be put aside, and nothing pretends to have cleaned."""
    scratch, key, _ = signed(small / "repo", tmp_path)
    assert run(scratch.root, "build", "cpu:one", "cpu:two")[0] == 0
    listed = tmp_path / "listed"
    listed.write_text(run(scratch.root, "results", "export", "HEAD", "--key", str(key))[1])
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    code, out, err = run(scratch.root, "build", "//gates/cpu:all")
    assert (code, out.splitlines()[-1]) == (0, "3 of 3 proven (2 cached, 1 run)")
    assert err.count("could not be stored (Read-only file system)") == 1
    for args in (["results"], ["results", "verify"], ["affected"], ["attest", "01"], ["results", "export", "HEAD"]):
        assert run(scratch.root, *args)[0] == 0, args
    for args in (["results", "import", str(listed)], ["results", "push", "--key", str(key)], ["results", "pull"]):
        code, out, err = run(scratch.root, *args)
        assert (code, out, errors(err)) == (3, "", 1), args
        assert "Read-only file system" in err
    code, out, err = run(scratch.root, "results", "gc", "--max-size", "0")
    assert (code, out.splitlines()[-1].split(",")[0]) == (3, "0 results and 0 blobs removed")
    assert err.count("could not be removed: Read-only file system") == 2 and "a build is running" not in err
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    blob = next(path for path in (scratch.root / ".git/nmoe-graph/blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"X" + blob.read_bytes()[1:])
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    code, out, _ = run(scratch.root, "results", "verify")
    assert code == 1 and "could not be put aside" in out and "1 damaged, 1 incomplete" in out


def test_a_disk_without_room_for_a_lock_is_cleaned_all_the_same(tmp_path: Path, small: Path) -> None:
    """Where not even a lock's file can be made, the folder is locked: a running build is respected, and else all can go."""
    subprocess.run(["umount", str(small)], check=True)
    assert mounted(small, "size=6m", "nr_inodes=600")
    scratch, _, _ = signed(small / "repo", tmp_path)
    assert run(scratch.root, "build", "//gates/cpu:all")[0] == 0
    shutil.rmtree(scratch.root / ".git/nmoe-graph/locks")
    for number in range(1000):
        try:
            (small / f"file{number}").touch()
        except OSError:
            break
    from nmoe_graph.store.keeping import clean
    from nmoe_graph.store.local import Store

    store = Store(scratch.root / ".git/nmoe-graph")
    with store.in_use():
        done = clean(store, most_bytes=0, wait_s=0.1)
        assert (done.in_use, done.unlocked, len(done.removed)) == (True, False, 0)
    code, out, err = run(scratch.root, "results", "gc", "--max-size", "0")
    assert (code, out.splitlines()[-1].split(",")[0], err) == (0, "3 results and 3 blobs removed", "")


def held(scratch: Scratch) -> list[str]:
    """Every file of the repository but the locks, which are empty."""
    files = [path.relative_to(scratch.root) for path in (scratch.root / ".git").rglob("*") if path.is_file()]
    return sorted(str(path) for path in files if "locks" not in path.parts)


def test_a_process_that_may_write_nothing(tmp_path: Path) -> None:
    """No byte goes into any file: reading, attesting and cleaning work, the rest is one error, and nothing is left by half."""
    scratch, key, _ = signed(tmp_path / "repo", tmp_path)
    assert run(scratch.root, "build", "//gates/cpu:all")[0] == 0
    listed = tmp_path / "listed"
    listed.write_text(run(scratch.root, "results", "export", "HEAD", "--key", str(key))[1])
    before = held(scratch)
    for args in (["results"], ["results", "verify"], ["build", "//gates/cpu:all"], ["affected"], ["attest", "01"]):
        assert run(scratch.root, *args, limit=0)[0] == 0, args
    for args in (["results", "import", str(listed)], ["results", "push", "--key", str(key)]):
        code, out, err = run(scratch.root, *args, limit=0)
        assert (code, out, errors(err)) == (3, "", 1), (args, err)
        assert "File too large" in err
    assert held(scratch) == before
    code, out, _ = run(scratch.root, "results", "gc", "--max-size", "0", limit=0)
    assert code == 0 and "3 results and 3 blobs removed" in out
