"""What a gate expects of its run: an exit status of 0 is not enough, and what somebody else wrote is no evidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch, add_gate, stored

Cli = Callable[..., tuple[int, str, str]]
Ask = Callable[..., Any]

FILE = 'expects = { metrics = "m.jsonl", samples = { tps = 2 }, finite = "loss" }'
LOG = 'expects = { log = ["tok/s {tps}", "loss {loss}"], samples = { tps = 2 }, finite = "loss" }'


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMOE_GRAPH_SANDBOX", "folder")


def run(scratch: Scratch, ask: Ask, cmd: str, expects: str, more: str = "", code: int = 1) -> dict[str, Any]:
    add_gate(scratch, "x:y", cmd, f"{expects}\n{more}")
    row: dict[str, Any] = ask("build", "x:y", code=code)["gates"][0]
    return row


GOOD = """printf '{"tps": 10, "loss": 3.5}\\n{"tps": 11, "loss": 3.4}\\n' > m.jsonl"""


def test_samples_of_a_file_are_kept(scratch: Scratch, ask: Ask) -> None:
    """All of them, in order, with the result; a second build serves them."""
    assert run(scratch, ask, GOOD, FILE, code=0)["verdict"] == "passed"
    assert stored(ask, "x:y")[0]["metrics"] == {"loss": [3.5, 3.4], "tps": [10.0, 11.0]}
    assert ask("build", "x:y")["gates"][0]["cached"]


def test_samples_of_a_log_are_kept(scratch: Scratch, ask: Ask) -> None:
    """By the declared patterns."""
    run(scratch, ask, "echo 'step 1 tok/s 10, loss 3.5'; echo 'step 2 tok/s 11, loss 3.4'", LOG, code=0)
    assert stored(ask, "x:y")[0]["metrics"] == {"loss": [3.5, 3.4], "tps": [10.0, 11.0]}


def test_warmup_leaves_the_first_sample_out(scratch: Scratch, ask: Ask) -> None:
    """And what is left must still be enough."""
    run(
        scratch,
        ask,
        "echo 'tps 1'; echo 'tps 10'; echo 'tps 11'",
        'expects = { log = "tps {tps}", samples = { tps = 2 }, warmup = 1 }',
        code=0,
    )
    assert stored(ask, "x:y")[0]["metrics"] == {"tps": [10.0, 11.0]}
    scratch.replace("configs/gates/gates.toml", "warmup = 1", "warmup = 2")
    assert "1 sample of tps, and 2 are expected" in ask("build", "x:y", code=1)["gates"][0]["reason"]


@pytest.mark.parametrize(
    ("cmd", "why"),
    [
        ("true", "m.jsonl cannot be read"),
        (": > m.jsonl", "holds nothing that this run wrote"),
        ("echo x > m.jsonl", "line 1 is no JSON object"),
        ("""printf '{"tps": 10, "loss": 1}\\n' > m.jsonl""", "1 sample of tps, and 2 are expected"),
        ("""printf '{"tps": 10}\\n{"tps": 11}\\n' > m.jsonl""", "no finite samples of loss"),
        ("""printf '{"tps": 1, "loss": NaN}\\n{"tps": 1, "loss": 2}\\n' > m.jsonl""", "line 1 is no finite number"),
        ("""printf '{"tps": 1, "loss": Infinity}\\n{"tps": 1, "loss": 2}\\n' > m.jsonl""", "line 1 is no finite number"),
        ("""printf '{"tps": -1, "loss": 1}\\n{"tps": 1, "loss": 2}\\n' > m.jsonl""", "line 1 is negative"),
        ("""printf '{"tps": null, "loss": 1}\\n{"tps": 1, "loss": 2}\\n' > m.jsonl""", "is no number"),
        ("""printf '{"tps": 1, "tps": 2}\\n' > m.jsonl""", "twice"),
        ("mkdir m.jsonl", "no regular file"),
        ("mkfifo m.jsonl", "no regular file"),
        ("ln -s docs/a.txt m.jsonl", "cannot be read"),
        (f"{GOOD}; exit 3", "exit 3"),
        (f"{GOOD}; kill -9 $$", "signal 9"),
        (f"echo 'tps 1'; echo PASSED; {GOOD} && false", "exit 1"),
    ],
)
def test_nothing_passes_without_its_evidence(scratch: Scratch, ask: Ask, cmd: str, why: str) -> None:
    """A run that leaves nothing, too little, or what is no number, fails; and nothing of it is a proof."""
    row = run(scratch, ask, cmd, FILE)
    assert (row["verdict"], row["proven"]) == ("failed", False)
    assert why in row["reason"]
    assert [one["verdict"] for one in stored(ask, "x:y")] == ["failed"]


def test_a_file_that_the_change_brought_is_no_evidence(scratch: Scratch, ask: Ask) -> None:
    """Planted in the repository and an input of the gate, it is refused, even where the run adds to it."""
    scratch.write("m.jsonl", '{"tps": 10, "loss": 3.5}\n{"tps": 11, "loss": 3.4}\n')
    add_gate(scratch, "x:y", f"true; {GOOD}", FILE)
    scratch.replace("configs/gates/gates.toml", 'inputs = ["docs/a.txt"]', 'inputs = ["docs/a.txt", "m.jsonl"]')
    row = ask("build", "x:y", code=1)["gates"][0]
    assert "came with the change" in row["reason"]


def test_a_file_outside_counts_by_what_the_run_adds(
    scratch: Scratch, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left by an earlier run, it is no evidence of this one; what this run appends is."""
    monkeypatch.setenv("RUNS", str(tmp_path))
    old = tmp_path / "m.jsonl"
    old.write_text('{"tps": 1, "loss": 1}\n{"tps": 2, "loss": 1}\n')
    expects = FILE.replace("m.jsonl", "${RUNS}/m.jsonl")
    writes = 'requires = [{ name = "RUNS", write = true }]'
    row = run(scratch, ask, "true", expects, writes)
    assert "nothing that this run wrote" in row["reason"]
    add_gate(
        scratch,
        "x:z",
        GOOD.replace("> m.jsonl", '>> "$RUNS/m.jsonl"'),
        f'{expects}\nrequires = [{{ name = "RUNS", write = true }}]',
    )
    assert ask("build", "x:z")["gates"][0]["proven"]
    assert stored(ask, "x:z")[0]["metrics"]["tps"] == [10.0, 11.0]
    add_gate(
        scratch, "x:w", GOOD.replace("> m.jsonl", '> "$RUNS/m.jsonl"'), f'{expects}\nrequires = [{{ name = "RUNS", write = true }}]'
    )
    assert ask("build", "x:w")["gates"][0]["proven"]


def test_expects_is_in_the_key(scratch: Scratch, ask: Ask) -> None:
    """More evidence asked for is another question: the old proof does not answer it."""
    run(scratch, ask, GOOD, FILE, code=0)
    scratch.replace("configs/gates/gates.toml", "tps = 2", "tps = 3")
    assert not ask("build", "x:y", code=1)["gates"][0]["cached"]


def test_a_reason_repeats_nothing_that_must_not_be_public(scratch: Scratch, ask: Ask, cli: Cli) -> None:
    """The last line of a log is a stranger's: what it names is taken out before it is stored."""
    token = "gh" + "p_" + "aB3" * 12
    # Put together as it runs: the declaration itself may not name it.
    add_gate(scratch, "x:y", f'echo "cannot reach db.prod.int""ernal with {token[:2]}""{token[2:]}"; exit 1')
    ask("build", "x:y", code=1)
    for args in (("build", "x:y"), ("results", "x:y"), ("why", "x:y"), ("log", "x:y")):
        for form in ("text", "json"):
            out = "".join(cli(*args, "--format", form)[1:])
            assert "prod.internal" not in out
            assert token[:8] not in out
    stored_text = "".join(str(one) for one in stored(ask, "x:y"))
    assert "[host removed]" in stored_text
    assert token[:8] not in stored_text
