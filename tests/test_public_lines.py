"""Public safety on lines of every sort.  All hosts, people, buckets and credentials are invented.

`public_lines.tsv` holds set, kind and line; a bar breaks up what a scanner of repositories would take for a leak.  Each set was
written after the rules had been mended on the one before, and its first measurement stands in docs/log.md; here all of them only
hold the line.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from nmoe_graph.safe import findings, redact

LINES = [
    (row[0], row[1], row[2].replace("‖", ""))
    for row in (line.split("\t", 2) for line in Path(__file__).with_name("public_lines.tsv").read_text("utf-8").splitlines())
]
KINDS = ("host", "ip", "path", "cluster", "credential")


@pytest.mark.parametrize("which", ["first", "second", "third", "fourth", "fifth"])
def test_recall_and_precision(which: str) -> None:
    """At least 95 % of each kind (credentials 90 %) are found, and at least 98 % of what is found is a leak."""
    there, found = Counter[str](), Counter[str]()
    for name, kind, text in LINES:
        if name == which:
            there[kind] += 1
            found[kind] += bool(findings(text))
    for kind in KINDS:
        assert there[kind] >= 20
        assert found[kind] / there[kind] >= (0.90 if kind == "credential" else 0.95), kind
    leaks = sum(found[kind] for kind in KINDS)
    assert there["clean"] >= 70
    assert leaks / (leaks + found["clean"]) >= 0.98


@pytest.mark.parametrize("kind", KINDS)
def test_what_surrounds_a_leak_does_not_hide_it(kind: str) -> None:
    """In quotes, brackets, JSON, after an equals sign and at a line's end, a leak stays one; redacted it is gone."""
    for _, of, text in LINES:
        if of != kind or not findings(text):
            continue
        for form in ("error: {}", '"{}"', "({})", '{{"a": "{}"}}', "x={};", "`{}`", "{}."):
            line = form.format(text)
            if '"' in text and '"' in form:
                continue
            assert findings(line), line
            assert not findings(redact(line)), line


def test_clean_lines_stay_as_they_are() -> None:
    """Redaction changes nothing that is clean."""
    clean = [text for _, kind, text in LINES if kind == "clean"]
    assert [redact(text) for text in clean] == clean


def test_a_log_is_looked_at_in_passing() -> None:
    """Ten thousand lines of a training log take seconds, not minutes."""
    text = "\n".join(f"[rank0]: step={step} loss={step / 7:.4f} grad_norm=1.02 node_tps={step * 1000}" for step in range(10_000))
    start = time.perf_counter()
    assert findings(text) == ()
    assert time.perf_counter() - start < 20
