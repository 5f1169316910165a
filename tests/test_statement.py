"""Statements: what is written, what is read, what is refused."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from signing import COMMIT, OTHER_COMMIT, statement

from nmoe_graph.errors import DeclarationError
from nmoe_graph.label import Label
from nmoe_graph.metrics import p50
from nmoe_graph.model import Gate, Result, TierRule, Trust, Verdict
from nmoe_graph.statement.keys import PublicKey
from nmoe_graph.statement.policy import Policy, Voice, refusals
from nmoe_graph.statement.signers import Signer
from nmoe_graph.statement.statement import Facts, definition_json, read_statement, result_of, statement_json
from nmoe_graph.statement.strictjson import canonical

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FACTS = Facts("b200:train", "b", "d" * 64, "trusted", OTHER_COMMIT, ("01", "e" * 64), "f" * 64)
RESULT = Result(
    "a1" * 32,
    "//gates/b200:train",
    Verdict.PASSED,
    exit_code=0,
    started="2026-05-01T03:04:05.000006Z",
    duration_s=1.5,
    commit=COMMIT,
    tree="b" * 40,
    means="audit",
    fingerprint=(("gpu", "NVIDIA B200"), ("os", "linux")),
    log_digest="9" * 64,
    log_bytes=12,
    metrics={"loss": (2.5,), "tps": (1.0, 3.0, 2.0, 9.0)},
)


def read(document: Any) -> Any:
    return read_statement(json.dumps(document).encode(), "x")


def refused(document: Any) -> str:
    with pytest.raises(DeclarationError) as error:
        read(document)
    return "; ".join(fault.what for fault in error.value.faults)


def made(**changes: Any) -> dict[str, Any]:
    found = statement_json(replace(RESULT, **changes), FACTS)
    assert isinstance(found, dict)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


# -- writing -------------------------------------------------------------------------------------------------------------------


def test_a_result_round_trips() -> None:
    """What a statement says is the result, field by field, and everything beside it that the design asks for."""
    document = made()
    found = read(document)
    assert result_of(found) == RESULT
    assert (found.commit, found.tree, found.tree_sha256) == (COMMIT, "b" * 40, "f" * 64)
    assert (found.result, found.passed, found.run.tier, found.run.namespace, found.run.base) == (
        "PASSED",
        ("b200:train",),
        "b",
        "trusted",
        OTHER_COMMIT,
    )
    names = {entry["name"] for entry in document["predicate"]["configuration"]}
    assert names == {"gate b200:train", "base", "contract 01"}
    tps = next(row for row in document["predicate"]["nmoe_run"]["metrics"] if row["name"] == "tps")
    assert tps == {"name": "tps", "p50": 3.0, "samples": [1.0, 3.0, 2.0, 9.0]}


@pytest.mark.parametrize("samples", [(1.0,), (1.0, 2.0), (3.0, 1.0, 2.0), (4.0, 1.0, 3.0, 2.0)])
def test_p50_is_the_upper_median(samples: tuple[float, ...]) -> None:
    """Of an even number of samples, the upper of the two in the middle."""
    import statistics

    assert p50(samples) == statistics.median_high(samples)


WORDS = {
    Verdict.PASSED: "PASSED",
    Verdict.FLAKY: "WARNED",
    Verdict.INCONCLUSIVE: "WARNED",
    Verdict.FAILED: "FAILED",
    Verdict.TIMED_OUT: "FAILED",
}


@pytest.mark.parametrize("verdict", list(Verdict))
def test_verdicts_in_the_formats_words(verdict: Verdict) -> None:
    """Only a pass is PASSED; what never ran to an end is not stated at all."""
    if verdict not in WORDS:
        with pytest.raises(DeclarationError, match="verdict"):
            statement_json(replace(RESULT, verdict=verdict), FACTS)
        return
    document = made(verdict=verdict)
    predicate = document["predicate"]
    lists = {"PASSED": "passedTests", "WARNED": "warnedTests", "FAILED": "failedTests"}
    assert predicate["result"] == WORDS[verdict]
    assert [name for name in lists.values() if predicate[name]] == [lists[WORDS[verdict]]]
    assert result_of(read(document)) == replace(RESULT, verdict=verdict)


def test_every_field_of_a_result_is_stated_or_left_out_on_purpose() -> None:
    """A new field must choose."""
    left_out = {"outputs"}  # only actions have them, and only gates are stated
    for field in dataclasses.fields(Result):
        if field.name not in left_out:
            assert getattr(result_of(read(made())), field.name) == getattr(RESULT, field.name), field.name


@pytest.mark.parametrize(
    "change",
    [
        {"commit": None},
        {"commit": "abc"},
        {"metrics": {"tps": (float("nan"),)}},
        {"metrics": {"tps": (-1.0,)}},
        {"metrics": {"tps": ()}},
        {"metrics": {"tps": (float("inf"),)}},
    ],
)
def test_what_is_never_stated(change: dict[str, Any]) -> None:
    """Dirty trees, and samples that are no numbers."""
    with pytest.raises(ValueError):
        statement_json(replace(RESULT, **change), FACTS)


def test_nothing_private_is_stated() -> None:
    """A reason is cleaned; what cannot be cleaned is not stated."""
    document = made(verdict=Verdict.FAILED, exit_code=1, reason="exit 1: /home/somebody/x.py at 10.20.30.40\x1b[2J")
    text = json.dumps(document)
    assert "somebody" not in text and "10.20.30.40" not in text and "\\u001b" not in text
    assert read(document).run.reason
    with pytest.raises((ValueError, DeclarationError)):
        statement_json(replace(RESULT, means="/home/somebody"), FACTS)


def test_a_definition_is_all_that_was_declared() -> None:
    """Every field of a gate but its places counts."""
    gate = Gate(Label("gates/cpu", "x"), "a", cmd="true", timeout_s=5, expects=(("tps", 3),))
    said = definition_json(gate)
    assert isinstance(said, dict)
    assert set(said) == {field.name for field in dataclasses.fields(Gate)} - {"at", "places"}
    assert canonical(said) != canonical(definition_json(replace(gate, expects=())))


# -- reading -------------------------------------------------------------------------------------------------------------------


def test_a_statement_of_another_writer() -> None:
    """The format's own fields are enough to be read, and unknown ones are passed over, as the format asks."""
    document = statement(url="https://example.org/run/1", somethingNew={"a": 1})
    document["subject"][0]["digest"]["sha1"] = COMMIT
    document["later"] = True
    found = read(document)
    assert (found.commit, found.passed, found.run) == (COMMIT, ("b200:train",), None)
    assert found.configuration == (("configs/gates/gates.toml", (("sha256", "ab" * 32),)),)


def test_a_statement_as_the_format_shows_one() -> None:
    """The shape of the example in the predicate's own page (in-toto.io/attestation/test-result/v0.1): a subject without a name, a
    configuration with a place and a blob's id, a link to the run, names of tests with blanks and brackets."""
    matrix = [f"unit ({version}, {system}, py)" for version in ("3.11", "3.12") for system in ("linux", "macos")]
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"gitCommit": COMMIT}}],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": "PASSED",
            "configuration": [
                {
                    "name": ".github/workflows/tests.yml",
                    "downloadLocation": f"https://github.com/example/example/blob/{COMMIT}/.github/workflows/tests.yml",
                    "digest": {"gitBlob": "e" * 40},
                }
            ],
            "url": "https://github.com/example/example/actions/runs/123",
            "passedTests": matrix,
            "warnedTests": [],
            "failedTests": [],
        },
    }
    found = read(document)
    assert (found.commit, found.passed, found.result) == (COMMIT, tuple(matrix), "PASSED")
    assert found.configuration == ((".github/workflows/tests.yml", (("gitBlob", "e" * 40),)),)
    for name in ("url", "warnedTests", "failedTests"):
        del document["predicate"][name]  # type: ignore[attr-defined]
    assert read(document) == found
    del document["predicate"]["configuration"]  # type: ignore[attr-defined]
    assert "configuration is missing" in refused(document)


def subject(*digests: dict[str, Any]) -> dict[str, Any]:
    return statement() | {"subject": [{"name": "x", "digest": one} for one in digests]}


FORGED: list[tuple[dict[str, Any], str]] = [
    (statement() | {"_type": "https://in-toto.io/Statement/v0.1"}, "_type"),
    (statement() | {"_type": "https://in-toto.io/Statement/v1 "}, "_type"),
    (statement() | {"predicateType": "https://in-toto.io/attestation/test-result/v0.2"}, "predicateType"),
    (statement() | {"predicateType": None}, "predicateType"),
    (statement() | {"subject": []}, "empty"),
    (statement() | {"subject": {}}, "no list"),
    (statement() | {"subject": [1]}, "no object"),
    (subject({"gitCommit": COMMIT}, {"gitCommit": COMMIT}), "2 commits"),
    (subject({"gitCommit": COMMIT}, {"gitCommit": OTHER_COMMIT}), "2 commits"),
    (subject(*({"gitCommit": f"{n:040x}"} for n in range(1, 41))), "40 things"),
    (subject({"gitCommit": COMMIT[:7]}), "hex"),
    (subject({"gitCommit": COMMIT[:12]}), "40 hex"),
    (subject({"gitCommit": COMMIT.upper()}), "hex"),
    (subject({"gitCommit": COMMIT + "\n"}), "hex"),
    (subject({"gitCommit": [COMMIT]}), "hex"),
    (subject({"sha256": "a" * 64}), "neither"),
    (subject({}), "neither"),
    (subject({"gitCommit": COMMIT, "sha1": OTHER_COMMIT}), "two commits"),
    (subject({"gitCommit": COMMIT, "gitTree": "b" * 39}), "gitTree"),
    (statement(result="passed"), "result"),
    (statement(result="PASSED "), "result"),
    (statement(result=True), "result"),
    (statement(result=None), "result"),
    (statement(passedTests=[]), "no tests"),
    (statement(failedTests=["cpu:x"]), "failed"),
    (statement(warnedTests=["cpu:x"]), "warned"),
    (statement(failedTests=["b200:train"]), "twice"),
    (statement(passedTests=["cpu:x", "cpu:x"]), "twice"),
    (statement(passedTests="b200:train"), "no list"),
    (statement(passedTests=[""]), "name of a test"),
    (statement(passedTests=[["b200:train"]]), "name of a test"),
    (statement(passedTests=[f"a:{n}" for n in range(501)]), "at most"),
    (statement(configuration=None), "configuration"),
    (statement(configuration=[1]), "configuration"),
    (statement(url="x" * 200_001), "more text"),
    (statement(url="http://runner-17.corp.example/log"), "public-safe"),
    (statement() | {"10.20.30.40": 1}, "public-safe"),
]


@pytest.mark.parametrize(("document", "word"), FORGED, ids=range(len(FORGED)))
def test_no_statement(document: dict[str, Any], word: str) -> None:
    """Each with its own reason."""
    assert word in refused(document)


def test_a_reason_never_repeats_what_must_not_be_public() -> None:
    """A finding shows its kind."""
    assert "10.20.30.40" not in refused(statement(url="http://10.20.30.40/x"))


RUN_LIES: list[tuple[str, Any, str]] = [
    ("version", 2, "version"),
    ("version", True, "version"),
    ("actionKey", "a1" * 31, "actionKey"),
    ("actionKey", "A1" * 32, "actionKey"),
    ("label", "//gates/b200:other", "label"),
    ("label", None, "label"),
    ("tier", "c", "tier"),
    ("namespace", "root", "namespace"),
    ("verdict", "failed", "result is PASSED"),
    ("verdict", "flaky", "result is PASSED"),
    ("verdict", "pending", "verdict"),
    ("verdict", ["passed"], "verdict"),
    ("started", "2026-05-01", "started"),
    ("started", "2026-05-01T03:04:05+02:00", "started"),
    ("durationSeconds", -1, "durationSeconds"),
    ("durationSeconds", "1", "durationSeconds"),
    ("attempts", 0, "attempts"),
    ("attempts", 2, "more than one attempt"),
    ("exitCode", 1, "ended in another way"),
    ("exitCode", 256, "ended in another way"),
    ("signal", 9, "ended in another way"),
    ("sandbox", "none", "sandbox"),
    ("definition", "", "definition"),
    ("base", "main", "base"),
    ("reason", 1, "reason"),
    ("platform", {"a b": "x"}, "platform"),
    ("platform", {"gpu": 1}, "platform"),
    ("metrics", {}, "no list"),
    ("metrics", [{"name": "tps", "p50": 1.0, "samples": []}], "no samples"),
    ("metrics", [{"name": "tps", "p50": 2.0, "samples": [1.0]}], "follow"),
    ("metrics", [{"name": "tps", "p50": 1.0, "samples": [1.0, -1.0]}], "sample"),
    ("metrics", [{"name": "tps", "p50": 1.0, "samples": [True]}], "sample"),
    ("metrics", [{"name": "tps", "p50": 1.0, "samples": [1.0]}] * 2, "duplicate"),
    ("metrics", [{"name": "t ps", "p50": 1.0, "samples": [1.0]}], "name of a metric"),
    ("log", {"digest": {"sha256": "9"}, "bytes": 1}, "log"),
]


@pytest.mark.parametrize(("key", "value", "word"), RUN_LIES, ids=range(len(RUN_LIES)))
def test_a_run_that_contradicts_itself(key: str, value: Any, word: str) -> None:
    """Every field of ours is looked at, and held against the others."""
    document = made()
    document["predicate"]["nmoe_run"][key] = value
    assert word in refused(document)


# -- policy --------------------------------------------------------------------------------------------------------------------

SIGNER = Signer(("runner@x",), PublicKey(b"k" * 32), None, datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
BOTH = Trust("f", TierRule(("*",), ("pr", "trusted")), TierRule(("runner@*",), ("trusted",), "audit", (("gpu", "NVIDIA B200*"),)))

#: What differs from the plain case, and the word of the reason; "" where it counts.
TABLE: list[tuple[str, dict[str, Any], str]] = [
    ("as it should be", {}, ""),
    ("nobody is named for tier b", {"trust": Trust("f")}, "may not prove tier b"),
    ("another principal", {"principals": ("dev@x",)}, "may not prove tier b"),
    ("a principal that is a pattern", {"principals": ("runner@*",)}, "may not prove tier b"),
    ("no [trust]", {"trust": None}, "may not prove"),
    ("no voice", {"voices": ()}, "no trusted signature"),
    ("a result of a pull request", {"run": {"namespace": "pr"}}, "namespace pr"),
    ("a weaker sandbox", {"run": {"sandbox": "folder"}}, "sandbox was folder"),
    ("a stronger sandbox", {"run": {"sandbox": "namespaces"}}, ""),
    ("another GPU", {"run": {"platform": {"gpu": "NVIDIA H200"}}}, "no gpu that fits"),
    ("no GPU named", {"run": {"platform": {}}}, "no gpu that fits"),
    ("began before the key", {"run": {"started": "2025-12-31T23:59:59Z"}}, "key was not valid"),
    ("began tomorrow", {"run": {"started": "2026-06-02T00:00:00Z"}}, "no possible time"),
    ("began on no day", {"run": {"started": "2026-02-31T00:00:00Z"}}, "no possible time"),
    ("says tier a of a tier b gate", {"run": {"tier": "a"}}, "the base says tier b"),
]


@pytest.mark.parametrize(("name", "case", "word"), TABLE, ids=[row[0] for row in TABLE])
def test_who_may_prove_what(name: str, case: dict[str, Any], word: str) -> None:
    """One aligned row a case: what differs, and the reason that is given."""
    document = made()
    document["predicate"]["nmoe_run"] |= case.get("run", {})
    signer = replace(SIGNER, principals=case.get("principals", SIGNER.principals))
    policy = Policy(case.get("trust", BOTH))
    found = refusals(policy, case.get("voices", (Voice(signer, "DSSE"),)), "b", read(document), NOW)
    assert bool(found) == bool(word) and word in "; ".join(found)


def test_a_statement_without_a_key_counts_for_nothing_here() -> None:
    """What cannot be recomputed is not believed, whoever signed it."""
    assert "no action key" in refusals(Policy(BOTH), (Voice(SIGNER, "DSSE"),), "b", read(statement()), NOW)[0]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_only_a_pass_proves(verdict: Verdict) -> None:
    """The lattice: one verdict proves, one more where a gate says so, and no other ever does."""
    assert verdict.proves() == (verdict is Verdict.PASSED)
    assert verdict.proves(True) == (verdict in (Verdict.PASSED, Verdict.FLAKY))


def test_policy_knows_every_means_of_a_sandbox() -> None:
    """And which of two is the weaker."""
    from nmoe_graph.execute.sandbox import MEANS
    from nmoe_graph.model import SANDBOX_MEANS

    assert tuple(reversed(MEANS)) == SANDBOX_MEANS
    for least in SANDBOX_MEANS:
        accepted = [one for one in SANDBOX_MEANS if TierRule(sandbox=least).accepts_means(one)]
        assert accepted == list(SANDBOX_MEANS[SANDBOX_MEANS.index(least) :])
    assert not TierRule(sandbox="folder").accepts_means("")


BAD_TRUST: list[tuple[str, str]] = [
    ("[trust]\n", "signers"),
    ('[trust]\nsigners = "../x"\n', "outside"),
    ('[trust]\nsigners = "x"\n[trust.tier_c]\nprincipals = ["a"]\n', "tier_c"),
    ('[trust]\nsigners = "x"\n[trust.tier_b]\n', "principals"),
    ('[trust]\nsigners = "x"\n[trust.tier_b]\nprincipals = []\n', "principals"),
    ('[trust]\nsigners = "x"\n[trust.tier_b]\nprincipals = ["a b"]\n', "principals"),
    ('[trust]\nsigners = "x"\n[trust.tier_b]\nprincipals = ["a"]\nnamespaces = ["all"]\n', "namespaces"),
    ('[trust]\nsigners = "x"\n[trust.tier_a]\nsandbox = "none"\n', "sandbox"),
    ('[trust]\nsigners = "x"\n[trust.revoked]\n"abc" = "x"\n', "revoked"),
]


@pytest.mark.parametrize(("text", "word"), BAD_TRUST, ids=range(len(BAD_TRUST)))
def test_a_policy_with_a_typo_is_an_error(text: str, word: str) -> None:
    """A misspelt rule must not trust anybody by falling out."""
    from nmoe_graph.load.build import load_build

    with pytest.raises(DeclarationError) as error:
        load_build(f'[workspace]\nname = "x"\n{text}'.encode(), "BUILD.toml", "")
    assert any(word in fault.what for fault in error.value.faults)


def test_a_policy_is_read_as_written() -> None:
    """And only the root may have one."""
    from nmoe_graph.load.build import load_build

    text = '[trust]\nsigners = "a/b"\n[trust.tier_b]\nprincipals = ["r@x"]\nplatform = {gpu = "NVIDIA *"}\n'
    found = load_build(f'[workspace]\nname = "x"\n{text}'.encode(), "BUILD.toml", "").trust
    rule = TierRule(("r@x",), ("trusted",), "audit", (("gpu", "NVIDIA *"),))
    assert found == Trust("a/b", TierRule(("*",), ("pr", "trusted"), local=True), rule)
    assert load_build(b'[trust]\nsigners = "x"\n', "BUILD.toml", "").trust == Trust("x")
    with pytest.raises(DeclarationError, match="only the root"):
        load_build(b'[trust]\nsigners = "x"\n', "sub/BUILD.toml", "sub")
