"""What counts of a signed statement: without a repository, and in one."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import GATES, Scratch
from signing import COMMIT, OTHER_COMMIT, TRUST, Key, Trusting, b64, make_key, statement, trusting

from nmoe_graph import Workspace
from nmoe_graph.attest.evidence import Evidence
from nmoe_graph.attest.inside import verify_inside
from nmoe_graph.attest.outside import verify_outside
from nmoe_graph.load.contract import load_contract
from nmoe_graph.load.gates import load_gates
from nmoe_graph.statement.keys import PrivateKey
from nmoe_graph.statement.policy import Ring
from nmoe_graph.statement.sshsig import sign_ssh

Cli = Callable[..., tuple[int, str, str]]
Ask = Callable[..., Any]


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return make_key(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Key:
    return make_key(tmp_path, "stranger")


# -- without a repository ------------------------------------------------------------------------------------------------------


def judged(key: Key, data: bytes, **more: Any) -> tuple[bool, str]:
    report = verify_outside(data, "x", Ring.of_keys((key.public,)), datetime.now(UTC), **({"commit": COMMIT} | more))
    assert report.counts == bool(report.proven) == (report.exit_code == 0)
    return report.counts, "; ".join(line.what for line in report if line.ok is False)


def test_a_signed_pass_of_the_commit_counts(key: Key) -> None:
    """And without a commit it counts for the one that it names."""
    assert judged(key, key.signed(statement())) == (True, "")
    assert judged(key, key.signed(statement()), commit=None) == (True, "")


OUTSIDE: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("another commit", {}, {"commit": OTHER_COMMIT}, "was asked for"),
    ("failed", {"result": "FAILED", "passedTests": [], "failedTests": ["b200:train"]}, {}, "failed"),
    ("failed, and nothing failed", {"result": "FAILED"}, {}, "did not pass"),
    ("warned", {"result": "WARNED", "passedTests": [], "warnedTests": ["b200:train"]}, {}, "warning"),
    ("passed beside a warning", {"result": "WARNED", "warnedTests": ["cpu:grep"]}, {}, "only a pass counts"),
    ("an unknown gate", {"passedTests": ["b200:none"]}, {}, "unknown gate"),
    ("an unknown gate beside a known one", {"passedTests": ["b200:train", "b200:none"]}, {}, "unknown gate"),
    ("a gate that is not required", {"passedTests": ["cpu:grep"]}, {}, "requires"),
]


@pytest.mark.parametrize(("name", "predicate", "more", "word"), OUTSIDE, ids=[row[0] for row in OUTSIDE])
def test_what_does_not_count_outside(name: str, predicate: dict[str, Any], more: dict[str, Any], word: str, key: Key) -> None:
    """Each with its own reason, though each is signed by the trusted key."""
    from conftest import CONTRACT

    gates = load_gates(GATES.encode(), "gates.toml")
    text = CONTRACT.format(issue="01", slug="w", depends="[]").replace("cpu:import", "b200:train")
    contract = load_contract(text.encode(), "c.yaml", gates)
    data = key.signed(statement(**predicate))
    counts, why = judged(key, data, gates=gates.by_id(), contract=contract, **more)
    assert not counts and word in why


def test_the_form_is_told_by_its_keys(key: Key) -> None:
    """A bare statement proves nothing; what could be two things is neither."""
    bare = json.dumps(statement()).encode()
    assert "not signed" in judged(key, bare)[1]
    both = key.dsse(bare) | {"signature": sign_ssh(PrivateKey.read(str(key.path)), bare)}
    assert "two ways" in judged(key, json.dumps(both).encode())[1]
    assert "no envelope" in judged(key, b"{}")[1]
    assert "no envelope" in judged(key, b"[]")[1]
    pair = {"payload": bare.decode(), "signature": both["signature"]}
    assert judged(key, json.dumps(pair).encode())[0]


def test_the_command_line_of_a_judge(key: Key, tmp_path: Path, cli: Cli) -> None:
    """Flags alone say whom to trust; a short commit is no commit."""
    (tmp_path / "e.json").write_bytes(key.signed(statement(), key_id="runner"))
    (tmp_path / "runner.pub.pem").write_bytes(key.pem)
    (tmp_path / "signers").write_text(f'r@x namespaces="nmoe-gate-result" {key.public.line}\n')
    (tmp_path / "gates.toml").write_text(GATES)
    file, keys, signers = (str(tmp_path / name) for name in ("e.json", "runner.pub.pem", "signers"))
    code, out, _ = cli(
        "verify", file, "--keys", keys, "--commit", COMMIT, "--gates", str(tmp_path / "gates.toml"), "--format", "json"
    )
    assert (code, json.loads(out)["proven"]) == (0, ["b200:train"])
    assert cli("verify", file, "--keys", keys, "--commit", COMMIT[:12])[0] == 2
    assert cli("verify", file, "--keys", keys, "--commit", OTHER_COMMIT)[0] == 1
    assert cli("verify", file, "--allowed-signers", signers)[0] == 1  # signed under the id of no line there
    pair = {
        "payload": json.dumps(statement()),
        "signature": sign_ssh(PrivateKey.read(str(key.path)), json.dumps(statement()).encode()),
    }
    (tmp_path / "s.json").write_text(json.dumps(pair))
    ssh = ("verify", str(tmp_path / "s.json"), "--allowed-signers", signers, "--principal")
    assert cli(*ssh, "r@x", "--namespace", "nmoe-gate-result")[0] == 0
    assert cli(*ssh, "q@x")[0] == 1
    assert cli(*ssh, "r@x", "--namespace", "file")[0] == 1


# -- forgeries -----------------------------------------------------------------------------------------------------------------

FORGERIES = int(os.environ.get("NMOE_GRAPH_FORGERIES", "500"))


def _edit(document: dict[str, Any], luck: random.Random) -> dict[str, Any]:
    """A statement with one thing altered that it says."""
    changed = json.loads(json.dumps(document))
    predicate = changed["predicate"]
    choice = luck.randrange(7)
    if choice == 0:
        changed["subject"][0]["digest"]["gitCommit"] = f"{luck.getrandbits(160):040x}"
    elif choice == 1:
        changed["predicateType"] = f"https://in-toto.io/attestation/test-result/v0.{luck.randrange(2, 99)}"
    elif choice == 2:
        predicate["passedTests"] = [f"b200:other{luck.randrange(99)}"]
    elif choice == 3:
        predicate["tps"] = luck.random()
    elif choice == 4:
        predicate["configuration"][0]["digest"]["sha256"] = f"{luck.getrandbits(256):064x}"
    elif choice == 5:
        changed["_type"] = f"https://in-toto.io/Statement/v{luck.randrange(2, 99)}"
    else:
        predicate["warnedTests"] = ["cpu:grep"]
    return changed  # type: ignore[no-any-return]


def _duplicated(text: str, luck: random.Random) -> str:
    """A JSON text in which one key stands twice, the second time as before."""
    key = luck.choice(['"result": "PASSED"', f'"gitCommit": "{COMMIT}"', '"passedTests": ["b200:train"]'])
    lie = {'"r': '"result": "FAILED"', '"g': f'"gitCommit": "{OTHER_COMMIT}"', '"p': '"passedTests": []'}[key[:2]]
    return text.replace(key, f"{lie}, {key}" if luck.random() < 0.5 else f"{key}, {lie}", 1)


def forge(key: Key, stranger: Key, luck: random.Random) -> tuple[bytes, str]:
    """A file that looks like a proof of COMMIT and is none, and the commit that it is shown for."""
    text = json.dumps(statement())
    good = key.dsse(text.encode())
    kind = luck.randrange(13)
    if kind == 0:  # another key, under any id
        return stranger.signed(
            statement(), key_id=luck.choice([key.public.fingerprint, "key", "", stranger.public.fingerprint])
        ), COMMIT
    if kind == 1:  # replayed to another commit
        return json.dumps(good).encode(), f"{luck.getrandbits(160):040x}"
    if kind == 2:  # altered after signing
        return json.dumps(good | {"payload": b64(json.dumps(_edit(statement(), luck)).encode())}).encode(), COMMIT
    if kind == 3:  # the trusted key signed something that is no pass of this commit
        lie = _edit(statement(), luck)
        while lie["predicate"].get("tps") or lie["predicate"]["configuration"] != statement()["predicate"]["configuration"]:
            lie = _edit(statement(), luck)  # those two change nothing that the verifier was asked for
        return key.signed(lie), COMMIT
    if kind == 4:  # two readers, two values
        return json.dumps(key.dsse(_duplicated(text, luck).encode())).encode(), COMMIT
    if kind == 5:  # a signature with some bits flipped
        raw = bytearray(base64.b64decode(good["signatures"][0]["sig"]))
        for _ in range(luck.randrange(1, 4)):
            raw[luck.randrange(64)] ^= 1 << luck.randrange(8)
        if bytes(raw) == base64.b64decode(good["signatures"][0]["sig"]):
            raw[0] ^= 1
        good["signatures"][0]["sig"] = b64(bytes(raw))
    elif kind == 6:  # a signature that is too short, too long, or nothing
        raw = bytearray(base64.b64decode(good["signatures"][0]["sig"]))
        good["signatures"][0]["sig"] = b64(
            bytes(raw[: luck.randrange(64)] if luck.random() < 0.5 else raw + b"\0" * luck.randrange(1, 9))
        )
    elif kind == 7:  # of another type
        kind_text = luck.choice(
            ["text/plain", "application/json", "application/vnd.in-toto+JSON", "", "application/vnd.in-toto+json "]
        )
        good = key.dsse(text.encode(), payload_type=kind_text) if luck.random() < 0.5 else good | {"payloadType": kind_text}
    elif kind == 8:  # base64 in another spelling, or cut
        field = good["payload"]
        good["payload"] = luck.choice(
            [field[:-1], field + "=", field + "\n", field[:8] + " " + field[8:], field[:-4], field + "AAAA"]
        )
    elif kind == 9:  # a number that is none
        return json.dumps(
            key.dsse(text.replace('"result"', f'"n": {luck.choice(["NaN", "Infinity", "1e999", "-Infinity"])}, "result"').encode())
        ).encode(), COMMIT
    elif kind == 10:  # more than one document, or half of one
        data = json.dumps(good).encode()
        return luck.choice([data + data, data + b"x", data[: luck.randrange(1, len(data))], b"[" + data + b"]"]), COMMIT
    elif kind == 11:  # an SSH signature for something else, or over something else
        space, what = luck.choice([("file", text), ("git", text), ("nmoe-gate-result", text + " ")])
        armour = sign_ssh(PrivateKey.read(str(key.path)), what.encode(), space)
        return json.dumps({"payload": text, "signature": armour}).encode(), COMMIT
    else:  # signed over the bare payload
        good["signatures"][0]["sig"] = b64(key.private.sign(luck.choice([text.encode(), b"", b64(text.encode()).encode()])))
    return json.dumps(good).encode(), COMMIT


def test_no_forgery_is_accepted(key: Key, stranger: Key) -> None:
    """None of the forged files counts (NMOE_GRAPH_FORGERIES says how many are tried), and none ends in an exception."""
    gates = load_gates(GATES.encode(), "gates.toml").by_id()
    luck = random.Random(20260501)
    accepted = []
    for number in range(FORGERIES):
        data, commit = forge(key, stranger, luck)
        if judged(key, data, commit=commit, gates=gates)[0]:
            accepted.append((number, data[:300]))
    assert accepted == []


def test_what_is_accepted_after_any_flip_is_the_same_statement(key: Key) -> None:
    """Of files that differ by a few bytes only those count that say, decoded, exactly what was signed."""
    luck = random.Random(7)
    good = key.signed(statement())
    document = json.loads(good)
    tried = 0
    for _ in range(FORGERIES):
        changed = bytearray(good)
        for _ in range(luck.randrange(1, 3)):
            changed[luck.randrange(len(changed))] = luck.randrange(256)
        if judged(key, bytes(changed))[0]:
            tried += 1
            same = json.loads(changed)
            assert (same["payload"], same["signatures"][0]["sig"]) == (document["payload"], document["signatures"][0]["sig"])
    assert tried < FORGERIES / 10


# -- in a repository -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def house(scratch: Scratch, tmp_path: Path) -> Trusting:
    return trusting(scratch, tmp_path)


def exported(cli: Cli, key: Key | None, what: str = "cpu:import", *more: str) -> bytes:
    code, out, err = cli("results", "export", what, *(["--key", str(key.path)] if key else []), *more)
    assert code == 0, err
    return out.encode()


def inside(house: Trusting, data: bytes, **more: Any) -> tuple[bool, str]:
    report = Workspace.open(house.scratch.root).verify(data, "x.json", **more)
    return report.counts, "; ".join(line.what for line in report if line.ok is False)


def test_a_listed_signer_proves_tier_a(house: Trusting, cli: Cli) -> None:
    """A statement of a run counts at its commit, and at every commit where the action key is equal."""
    assert cli("build", "cpu:import")[0] == 0
    data = exported(cli, house.dev)
    assert inside(house, data) == (True, "")
    house.scratch.write("docs/b.txt", "more\n")
    assert inside(house, data, commit=house.scratch.commit()) == (True, "")
    house.scratch.replace("nmoe/a.py", "X = 2", "X = 3")
    counts, why = inside(house, data, commit=house.scratch.commit())
    assert not counts and "action key" in why


def test_who_does_not_count(house: Trusting, cli: Cli) -> None:
    """A stranger, nobody, a revoked key, and a base without a policy."""
    assert cli("build", "cpu:import")[0] == 0
    assert "no trusted key" in inside(house, exported(cli, house.stranger))[1]
    assert "not signed" in inside(house, exported(cli, None))[1]
    data = exported(cli, house.dev)
    scratch = house.scratch
    scratch.git("checkout", "-q", "main")
    for text, word in (
        (
            f'{scratch.read("BUILD.toml")}\n[trust.revoked]\n"{house.dev.public.fingerprint}" = "lost laptop"\n',
            "revoked: lost laptop",
        ),
        (scratch.read("BUILD.toml").replace(TRUST, ""), "no [trust]"),
        (scratch.read("BUILD.toml").replace("configs/allowed_signers", "configs/none"), "is not there"),
    ):
        scratch.write("BUILD.toml", text)
        scratch.git("update-ref", "refs/remotes/origin/main", scratch.commit())
        counts, why = inside(house, data)
        assert not counts and word in why


def test_a_change_does_not_choose_its_judges(house: Trusting, cli: Cli) -> None:
    """Signers, definitions and base that a branch brings along count for nothing."""
    scratch = house.scratch
    scratch.write("configs/allowed_signers", f"stranger@nmoe.example {house.stranger.public.line}\n")
    scratch.replace("configs/gates/gates.toml", 'cmd = "grep -q one docs/a.txt"', 'cmd = "true"')
    scratch.write("docs/a.txt", "two\n")
    scratch.commit("take over")
    assert cli("build", "cpu:grep")[0] == 0  # by its own definition it passes
    assert "no trusted key" in inside(house, exported(cli, house.stranger, "cpu:grep"))[1]
    counts, why = inside(house, exported(cli, house.dev, "cpu:grep"))
    assert not counts and "the base's definition gives" in why
    code, _, err = cli("results", "export", "cpu:grep", "--as", "trusted")
    assert code == 1 and "no trusted result" in err
    scratch.replace("BUILD.toml", '"origin/main"', '"issue/01-work"')
    scratch.replace("BUILD.toml", '"origin/master", ', "")
    scratch.git("update-ref", "refs/heads/elsewhere", house.base)
    scratch.replace("BUILD.toml", '"issue/01-work"', '"elsewhere"')
    scratch.commit("a base of my own")
    code, _, err = cli("verify", str(house.dev.path), "--commit", "HEAD")
    assert code == 2 and "names elsewhere as its base" in err


def signed_run(house: Trusting, cli: Cli, key: Key, change: dict[str, Any], what: str = "cpu:import") -> bytes:
    """A statement of a real run with some of what it says of the run altered, signed all the same."""
    document = json.loads(exported(cli, None, what))
    document["predicate"]["nmoe_run"] |= change
    return key.signed(document)


def test_tier_b_counts_from_runners_only(house: Trusting, cli: Cli) -> None:
    """Who is listed for tier a proves nothing of tier b, and a result of a pull request's own making neither."""
    workspace = Workspace.open(house.scratch.root)
    evidence = workspace.evidence()
    gate = evidence.gate("b200:train")
    assert gate is not None
    commit = house.scratch.git("rev-parse", "HEAD")
    assert cli("build", "cpu:import")[0] == 0
    document = json.loads(exported(cli, None))
    document["predicate"]["passedTests"] = ["b200:train"]
    run = document["predicate"]["nmoe_run"]
    run |= {"label": "//gates/b200:train", "tier": "b", "actionKey": evidence.key(gate, commit)[0], "namespace": "trusted"}
    assert inside(house, house.runner.signed(document)) == (True, "")
    assert "may not prove tier b" in inside(house, house.dev.signed(document))[1]
    run["namespace"] = "pr"
    assert "namespace pr" in inside(house, house.runner.signed(document))[1]
    run |= {"namespace": "trusted", "durationSeconds": 601.0}
    assert "the present limit is 600 s" in inside(house, house.runner.signed(document))[1]


def test_the_subject_is_held_against_the_repository(house: Trusting, cli: Cli) -> None:
    """Another tree, and the same SHA-1 ids with other contents, are noticed."""
    assert cli("build", "cpu:import")[0] == 0
    for name, value in (("gitTree", "0" * 40), ("gitTreeSha256", "0" * 64)):
        document = json.loads(exported(cli, None))
        assert len(document["subject"][1]["digest"][name]) == len(value)
        document["subject"][1]["digest"][name] = value
        assert "than it says" in inside(house, house.dev.signed(document))[1]
    document = json.loads(exported(cli, None))
    document["subject"][0]["digest"]["gitCommit"] = COMMIT
    assert "is not here" in inside(house, house.dev.signed(document))[1]


def test_the_sha256_id_is_gits(house: Trusting, tmp_path: Path) -> None:
    """git, asked to name objects by SHA-256, gives the same tree."""
    import subprocess

    from nmoe_graph.git.sha256 import tree_sha256

    (house.scratch.root / "docs/link").symlink_to("a.txt")
    (house.scratch.root / "docs/run.sh").write_text("true\n")
    (house.scratch.root / "docs/run.sh").chmod(0o755)
    house.scratch.commit()
    workspace = Workspace.open(house.scratch.root)
    snapshot = workspace.snapshot("HEAD")
    other = tmp_path / "sha256"
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(other)], env=env, check=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=house.scratch.root, env=env, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x", "-C", str(other)], input=archive, check=True)
    subprocess.run(["git", "add", "-A"], cwd=other, env=env, check=True)
    due = subprocess.run(["git", "write-tree"], cwd=other, env=env, capture_output=True, text=True, check=True).stdout.strip()
    assert tree_sha256(snapshot.objects, snapshot.tree) == due
    assert (
        tree_sha256(snapshot.objects, snapshot.tree, workspace.memo)
        == due
        == tree_sha256(snapshot.objects, snapshot.tree, workspace.memo)
    )


def test_an_expired_key_proves_nothing_any_more(scratch: Scratch, tmp_path: Path, cli: Cli) -> None:
    """Neither of today nor of the days when it was valid."""
    house = trusting(scratch, tmp_path, options='valid-before="20300101"')
    assert cli("build", "cpu:import")[0] == 0
    data = exported(cli, house.dev)
    workspace = Workspace.open(scratch.root)
    for days, counts in ((0, True), (365 * 20, False)):
        evidence = Evidence(workspace, now=datetime.now(UTC) + timedelta(days=days))
        assert verify_inside(workspace, evidence, data, "x.json").counts == counts


def test_signing_by_hand_and_by_program(house: Trusting, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb signs in both forms; a key in the environment signs without a flag; nothing signs a signed file."""
    assert cli("build", "cpu:import")[0] == 0
    bare = tmp_path / "bare.json"
    bare.write_bytes(exported(cli, None))
    for form in ("dsse", "sshsig"):
        code, out, err = cli("sign", str(bare), "--key", str(house.dev.path), "--form", form, "--format", "json")
        assert code == 0, err
        assert inside(house, out.encode()) == (True, "")
    assert cli("sign", str(bare), "--format", "json")[0] == 2
    monkeypatch.setenv("NMOE_GRAPH_SIGN_KEY", str(house.dev.path))
    signed = exported(cli, None)
    assert inside(house, signed) == (True, "")
    (tmp_path / "signed.json").write_bytes(signed)
    assert cli("sign", str(tmp_path / "signed.json"), "--format", "json")[0] == 2
    (tmp_path / "none.json").write_text(json.dumps(statement(result="FAILED ")))
    assert cli("sign", str(tmp_path / "none.json"), "--format", "json")[0] == 2


def test_json_and_text_say_the_same(house: Trusting, cli: Cli, tmp_path: Path) -> None:
    """Every line of the one is in the other; nothing raw is printed."""
    assert cli("build", "cpu:import")[0] == 0
    file = tmp_path / "e.json"
    file.write_bytes(exported(cli, house.stranger))
    code, out, _ = cli("verify", str(file), "--format", "json")
    document = json.loads(out)
    assert (code, document["schema"], document["counts"]) == (1, "nmoe-graph/verify@1", False)
    code, text, _ = cli("verify", str(file))
    assert code == 1 and text.endswith("does not count\n")
    assert all(line["what"] in text for line in document["lines"])


def test_without_the_library_nothing_is_believed(
    house: Trusting, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install; look-ups go on, and find nothing proven."""
    assert cli("build", "cpu:import")[0] == 0
    file = tmp_path / "e.json"
    file.write_bytes(exported(cli, house.dev))
    assert cli("results", "import", str(file))[0] == 0
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    code, _, err = cli("verify", str(file))
    assert code == 3 and "pip install 'nmoe-graph[sign]'" in err
    shutil.rmtree(house.scratch.root / ".git/nmoe-graph/results")
    why = Workspace.open(house.scratch.root).why("cpu:import")
    assert why.proof is None and any("cryptography" in note for note in why.notes)
