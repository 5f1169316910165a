"""Statements: what a result says, in in-toto's words.

An in-toto Statement v1 with the predicate `test-result/v0.1` (in-toto.io/Statement/v1, in-toto.io/attestation/test-result/v0.1):
the subject is the commit and its tree, `passedTests` is the gate.  What a general reader need not know stands in the
predicate under `nmoe_run`: the action key, the gate's definition, every sample of every metric, the platform, the log's digest.

A statement without `nmoe_run` (somebody else's writer) is read too; it can count only for the very commit that it names.
Fields that are not known are passed over, as in-toto asks of its readers, and looked at for public safety all the same.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DeclarationError, Fault, Location, printable
from ..metrics import p50
from ..model import SANDBOX_MEANS, Gate, Result, Verdict
from ..safe import findings, redact
from .strictjson import Json, canonical, read_json, texts

__all__ = [
    "PREDICATE_TYPE",
    "STATEMENT_TYPE",
    "Facts",
    "Run",
    "Statement",
    "definition_json",
    "read_statement",
    "result_of",
    "statement_json",
]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
RUN_KEY = "nmoe_run"
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_HEX = re.compile(r"[0-9a-f]{8,128}\Z")
_STARTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z\Z", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_.+\-]{1,100}\Z", re.ASCII)
_MOST_TESTS = 500
_MOST_TEXT = 200_000
#: What each verdict is in in-toto's three words.  Only one of them is a pass.
_RESULTS = {Verdict.PASSED: "PASSED", Verdict.FLAKY: "WARNED", Verdict.INCONCLUSIVE: "WARNED"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement says beyond the result itself."""

    gate: str  # its id
    tier: str
    definition: str  # SHA-256 of the gate's definition
    namespace: str = "pr"  # or "trusted"
    base: str | None = None  # the commit that the definitions came from
    contract: tuple[str, str] | None = None  # issue and digest
    tree_sha256: str = ""  # the id that the tree has in a repository that names objects by SHA-256


@dataclass(frozen=True, slots=True)
class Run:
    """`nmoe_run` of a predicate."""

    action_key: str
    label: str
    tier: str
    verdict: Verdict
    namespace: str
    started: str
    duration_s: float
    attempts: int
    sandbox: str
    definition: str
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    base: str | None = None
    platform: tuple[tuple[str, str], ...] = ()
    metrics: tuple[tuple[str, tuple[float, ...]], ...] = ()
    log_digest: str = ""
    log_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as read: well formed, and nothing more."""

    commit: str
    tree: str
    tree_sha256: str
    result: str  # PASSED, WARNED, FAILED
    passed: tuple[str, ...]
    warned: tuple[str, ...]
    failed: tuple[str, ...]
    configuration: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    run: Run | None = None

    @property
    def gates(self) -> tuple[str, ...]:
        return (*self.passed, *self.warned, *self.failed)


def definition_json(gate: Gate) -> Json:
    """A gate as declared, without the places where it was declared."""
    said: dict[str, Json] = {}
    for field in dataclasses.fields(gate):
        if field.name not in ("at", "places"):
            value = getattr(gate, field.name)
            said[field.name] = str(value) if field.name == "label" else _plain(value)
    return said


def _plain(value: object) -> Json:
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def statement_json(result: Result, facts: Facts) -> Json:
    """The statement of a result.

    Raises:
        ValueError: the result was made in a dirty work tree, has a sample that is no finite number, or says what must not be
            public.
    """
    if not result.commit or not _COMMIT.match(result.commit):
        raise ValueError("it was made in a work tree that is no commit, and such a result is never attested")
    for name, samples in result.metrics.items():
        if not samples or any(not math.isfinite(sample) or sample < 0 for sample in samples):
            raise ValueError(f"the metric {name} has no samples, or one that is negative or no finite number")
    kind = _RESULTS.get(result.verdict, "FAILED")
    tests: dict[str, list[Json]] = {"PASSED": [], "WARNED": [], "FAILED": []}
    tests[kind].append(facts.gate)
    subject: list[Json] = [{"name": "commit", "digest": {"gitCommit": result.commit}}]
    tree: dict[str, Json] = {"gitTree": result.tree}
    if facts.tree_sha256:
        tree["gitTreeSha256"] = facts.tree_sha256
    subject.append({"name": "tree", "digest": tree})
    configuration: list[Json] = [{"name": f"gate {facts.gate}", "digest": {"sha256": facts.definition}}]
    if facts.base:
        configuration.append({"name": "base", "digest": {"gitCommit": facts.base}})
    if facts.contract:
        configuration.append({"name": f"contract {facts.contract[0]}", "digest": {"sha256": facts.contract[1]}})
    metrics: list[Json] = [
        {"name": name, "p50": float(p50(samples)), "samples": [float(one) for one in samples]}
        for name, samples in sorted(result.metrics.items())
    ]
    run: dict[str, Json] = {
        "version": 1,
        "actionKey": result.action_key,
        "label": result.label,
        "tier": facts.tier,
        "verdict": result.verdict.value,
        "reason": redact(printable(result.reason, limit=500)),
        "namespace": facts.namespace,
        "started": result.started,
        "durationSeconds": round(result.duration_s, 6),
        "attempts": result.attempts,
        "exitCode": result.exit_code,
        "signal": result.signal,
        "sandbox": result.means,
        "definition": facts.definition,
        "base": facts.base,
        "platform": {name: redact(value) for name, value in result.fingerprint},
        "metrics": metrics,
        "log": {"digest": {"sha256": result.log_digest}, "bytes": result.log_bytes} if result.log_digest else None,
    }
    predicate: dict[str, Json] = {
        "result": kind,
        "configuration": configuration,
        "passedTests": tests["PASSED"],
        "warnedTests": tests["WARNED"],
        "failedTests": tests["FAILED"],
        RUN_KEY: run,
    }
    made: Json = {"_type": STATEMENT_TYPE, "subject": subject, "predicateType": PREDICATE_TYPE, "predicate": predicate}
    for text in texts(made):
        if found := findings(text):
            raise ValueError(f"it is not public-safe: {found[0].words()}")
    read_statement(canonical(made), "the statement")  # what is written can be read, by the same rules as everybody's
    return made


class _Reader:
    """Looks at values and collects what is wrong with them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []

    def fault(self, what: str, hint: str = "") -> None:
        self.faults.append(Fault(what, Location(self.file, 1, 1), hint))

    def object(self, value: Json, name: str) -> dict[str, Json]:
        if isinstance(value, dict):
            return value
        self.fault(f"{name} is {'missing' if value is None else 'no object'}")
        return {}

    def list(self, value: Json, name: str) -> list[Json]:
        if isinstance(value, list):
            return value
        self.fault(f"{name} is {'missing' if value is None else 'no list'}")
        return []

    def text(self, value: Json, name: str, pattern: re.Pattern[str]) -> str:
        if isinstance(value, str) and pattern.match(value):
            return value
        self.fault(f"{name} is {'missing' if value is None else 'not what it should be'}")
        return ""

    def number(self, value: Json, name: str) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
            return float(value)
        self.fault(f"{name} is no finite number from zero up")
        return 0.0

    def integer(self, value: Json, name: str, least: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= 1 << 53:
            return value
        self.fault(f"{name} is no integer from {least} up")
        return least


def read_statement(payload: bytes, file: str) -> Statement:
    """Read a statement.

    Raises:
        DeclarationError: with every reason why it is none that can count: its shape, contradictions in it, and what in it must
            not be public.
    """
    value = read_json(payload, file, "the payload (statement)")
    reader = _Reader(file)
    if not isinstance(value, dict):
        raise DeclarationError(Fault("the payload is no statement: not a JSON object", Location(file, 1, 1)))
    words = list(texts(value))
    if sum(map(len, words)) > _MOST_TEXT:
        raise DeclarationError(Fault(f"the statement holds more text than any needs: over {_MOST_TEXT} characters", Location(file)))
    for text in words:
        for found in findings(text)[:3]:
            reader.fault(f"not public-safe: {found.words()}", "statements are public; internal names stay out of them")
    if value.get("_type") != STATEMENT_TYPE:
        reader.fault(f"_type is not {STATEMENT_TYPE}: another statement version")
    if value.get("predicateType") != PREDICATE_TYPE:
        reader.fault(f"predicateType is not {PREDICATE_TYPE}")
    commit, tree, tree_sha256 = _subject(reader, value.get("subject"))
    predicate = reader.object(value.get("predicate"), "predicate")
    result = predicate.get("result")
    if result not in ("PASSED", "WARNED", "FAILED"):
        reader.fault("predicate.result is none of PASSED, WARNED, FAILED")
    configuration = _configuration(reader, predicate.get("configuration"))
    lists = {name: _tests(reader, predicate.get(name, []), name) for name in ("passedTests", "warnedTests", "failedTests")}
    everything = [test for tests in lists.values() for test in tests]
    for test in sorted({test for test in everything if everything.count(test) > 1} if len(everything) <= _MOST_TESTS else ()):
        reader.fault(f"{test} stands twice among the tests: it cannot have ended in two ways")
    if not everything:
        reader.fault("no tests are named: a result of nothing is no result")
    if result == "PASSED":
        for name, word in (("failedTests", "failed"), ("warnedTests", "warned")):
            if lists[name]:
                reader.fault(f"result is PASSED, and {', '.join(lists[name][:5])} {word}")
    run = _run(reader, predicate[RUN_KEY], str(result), lists) if RUN_KEY in predicate else None
    if reader.faults:
        raise DeclarationError(list(dict.fromkeys(reader.faults)))
    return Statement(
        commit, tree, tree_sha256, str(result), lists["passedTests"], lists["warnedTests"], lists["failedTests"], configuration, run
    )


def _subject(reader: _Reader, value: Json) -> tuple[str, str, str]:
    """The one commit and, where it is said, its tree."""
    listed = reader.list(value, "subject")
    commits: list[str] = []
    trees: list[tuple[str, str]] = []
    if len(listed) > 2:
        reader.fault(f"subject names {len(listed)} things: one run tests one commit")
        listed = []
    elif isinstance(value, list) and not listed:
        reader.fault("subject is empty: the statement says of no commit what it says")
    for one in listed:
        digests = reader.object(reader.object(one, "subject").get("digest"), "subject.digest")
        for name, digest in digests.items():
            if not isinstance(digest, str) or not _HEX.match(digest):
                reader.fault(f"subject.digest.{printable(name, limit=40)} is no digest in lower-case hex")
        commit, tree = digests.get("gitCommit"), digests.get("gitTree")
        if commit is None and tree is None:
            reader.fault("subject.digest names neither a gitCommit nor a gitTree")
        if commit is not None:
            if not isinstance(commit, str) or not _COMMIT.match(commit):
                reader.fault("subject: gitCommit is no whole commit digest: 40 hex digits are due, not an abbreviation")
            else:
                commits.append(commit)
            if digests.get("sha1", commit) != commit:
                reader.fault("subject: gitCommit and sha1 name two commits")
        if tree is not None:
            if not isinstance(tree, str) or not _COMMIT.match(tree):
                reader.fault("subject: gitTree is no whole tree digest: 40 hex digits are due")
            else:
                trees.append((tree, str(digests.get("gitTreeSha256", ""))))
    if listed and len(commits) != 1 and not reader.faults:
        reader.fault(f"subject names {len(commits)} commits, and one is due")
    if len(trees) > 1:
        reader.fault("subject names two trees")
    tree_id, tree_sha256 = trees[0] if trees else ("", "")
    return (commits[0] if commits else ""), tree_id, tree_sha256


def _configuration(reader: _Reader, value: Json) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    rows = []
    for one in reader.list(value, "predicate.configuration")[:100]:
        entry = reader.object(one, "predicate.configuration[]")
        name, digests = entry.get("name", ""), entry.get("digest", {})
        if (
            not isinstance(name, str)
            or not isinstance(digests, dict)
            or not all(isinstance(each, str) for each in digests.values())
        ):
            reader.fault("predicate.configuration has an entry without a name and digests")
            continue
        rows.append((name, tuple(sorted((key, str(each)) for key, each in digests.items()))))
    return tuple(rows)


def _tests(reader: _Reader, value: Json, name: str) -> tuple[str, ...]:
    listed = reader.list(value, f"predicate.{name}")
    if len(listed) > _MOST_TESTS:
        reader.fault(f"predicate.{name} names {len(listed)} tests; at most {_MOST_TESTS} are read")
        return ()
    found = []
    for one in listed:
        if not isinstance(one, str) or not one or len(one) > 300 or not one.isprintable():
            reader.fault(f"predicate.{name} holds something that is no name of a test")
        else:
            found.append(one)
    return tuple(found)


def _run(reader: _Reader, value: Json, result: str, lists: Mapping[str, tuple[str, ...]]) -> Run | None:
    said = reader.object(value, RUN_KEY)
    at = f"{RUN_KEY}."
    if said.get("version") != 1 or isinstance(said.get("version"), bool):
        reader.fault(f"{at}version is not 1")
    tier = said.get("tier")
    if tier not in ("a", "b"):
        reader.fault(f"{at}tier is neither a nor b")
    namespace = said.get("namespace")
    if namespace not in ("pr", "trusted"):
        reader.fault(f"{at}namespace is neither pr nor trusted")
    word = said.get("verdict")
    verdict = Verdict(word) if isinstance(word, str) and word in set(Verdict) else Verdict.NOT_RUN
    if verdict in (Verdict.NOT_RUN, Verdict.PENDING, Verdict.CANCELLED, Verdict.INFRA_ERROR):
        reader.fault(f"{at}verdict is nothing that a run can end in")
    elif _RESULTS.get(verdict, "FAILED") != result:
        reader.fault(f"{at}verdict is {verdict.value}, and result is {result}")
    label = said.get("label")
    tests = [test for tests in lists.values() for test in tests]
    if not isinstance(label, str) or len(tests) != 1 or label != f"//gates/{tests[0]}":
        reader.fault(f"{at}label is not that of the one gate which the predicate names")
    base = said.get("base")
    if base is not None and not (isinstance(base, str) and _COMMIT.match(base)):
        reader.fault(f"{at}base is no whole commit digest")
    reason, sandbox = said.get("reason", ""), said.get("sandbox")
    if not isinstance(reason, str) or len(reason) > 2000:
        reader.fault(f"{at}reason is no text")
    if sandbox not in SANDBOX_MEANS:
        reader.fault(f"{at}sandbox is none of {', '.join(SANDBOX_MEANS)}")
    log = said.get("log")
    logged = reader.object(log, f"{at}log") if log is not None else {}
    log_digest = (
        reader.text(reader.object(logged.get("digest"), f"{at}log.digest").get("sha256"), f"{at}log.digest.sha256", _SHA256)
        if logged
        else ""
    )
    code, signal = said.get("exitCode"), said.get("signal")
    made = Run(
        action_key=reader.text(said.get("actionKey"), f"{at}actionKey", _SHA256),
        label=str(label),
        tier=str(tier),
        verdict=verdict,
        namespace=str(namespace),
        started=reader.text(said.get("started"), f"{at}started", _STARTED),
        duration_s=reader.number(said.get("durationSeconds"), f"{at}durationSeconds"),
        attempts=reader.integer(said.get("attempts"), f"{at}attempts", 1),
        sandbox=str(sandbox),
        definition=reader.text(said.get("definition"), f"{at}definition", _SHA256),
        reason=str(reason),
        exit_code=None if code is None else reader.integer(code, f"{at}exitCode", 0),
        signal=None if signal is None else reader.integer(signal, f"{at}signal", 1),
        base=str(base) if base is not None else None,
        platform=_platform(reader, said.get("platform")),
        metrics=_metrics(reader, said.get("metrics")),
        log_digest=log_digest,
        log_bytes=reader.integer(logged.get("bytes", 0), f"{at}log.bytes", 0) if logged else 0,
    )
    if verdict is Verdict.PASSED and (made.exit_code not in (0, None) or made.signal is not None or made.attempts != 1):
        reader.fault(f"{at}verdict is passed, and the run ended in another way or needed more than one attempt")
    return made


def _platform(reader: _Reader, value: Json) -> tuple[tuple[str, str], ...]:
    rows = []
    for name, text in sorted(reader.object(value, f"{RUN_KEY}.platform").items()):
        if not _WORD.match(name) or not isinstance(text, str) or len(text) > 300:
            reader.fault(f"{RUN_KEY}.platform has an entry that is no short text")
        else:
            rows.append((name, text))
    return tuple(rows)


def _metrics(reader: _Reader, value: Json) -> tuple[tuple[str, tuple[float, ...]], ...]:
    rows: dict[str, tuple[float, ...]] = {}
    for one in reader.list(value, f"{RUN_KEY}.metrics"):
        entry = reader.object(one, f"{RUN_KEY}.metrics[]")
        name = reader.text(entry.get("name"), "the name of a metric", _WORD)
        samples = tuple(
            reader.number(each, f"a sample of {name}") for each in reader.list(entry.get("samples"), f"samples of {name}")
        )
        middle = reader.number(entry.get("p50"), f"p50 of {name}")
        if not samples:
            reader.fault(f"the metric {name} has no samples")
        elif p50(samples) != middle:
            reader.fault(f"p50 of {name} does not follow from its samples")
        if name in rows:
            reader.fault(f"duplicate metric {name}")
        rows[name] = samples
    return tuple(sorted(rows.items()))


def result_of(statement: Statement) -> Result | None:
    """The result that a statement speaks of; None where it carries no run."""
    run = statement.run
    if run is None:
        return None
    values: dict[str, Any] = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    shared = {
        name: values[name] for name in ("action_key", "label", "verdict", "reason", "exit_code", "signal", "started", "attempts")
    }
    return Result(
        **shared,
        duration_s=run.duration_s,
        commit=statement.commit,
        tree=statement.tree,
        means=run.sandbox,
        fingerprint=run.platform,
        log_digest=run.log_digest,
        log_bytes=run.log_bytes,
        metrics=dict(run.metrics),
    )
