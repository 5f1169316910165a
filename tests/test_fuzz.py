"""Mutated declarations: whatever is done to a file, what comes out is data or faults, and twice the same."""

from __future__ import annotations

import json
import random
import time

import pytest

from nmoe_graph.errors import DeclarationError, render_faults
from nmoe_graph.load.gates import load_gates
from nmoe_graph.load.lint import lint_bytes

GATES = b"""[meta]
version = "1"
target = "b200"

[gates."cpu:import"]
tier = "a"
timeout_s = 30
cmd = "python -c \\"import nmoe\\""

[gates."b200:train"]
tier = "b"
gpus = 1
timeout_s = 600
requires = ["NMOE_DATA_PATH"]
requires_files = ["configs/tiny.toml"]
inputs = ["nmoe/**/*.py"]
env = { A = "1" }
expects = { log = "steps {steps}", samples = { steps = 10 } }
cmd = '''
python -m nmoe.train configs/tiny.toml
'''

[gates."perf:tps"]
tier = "b"
kind = "perf"
timeout_s = 0
compare_gate = "b200:train"
metric = "tokens_per_s"

[bundles]
tier_a = ["cpu:import"]
hot = ["tier_a", "b200:train", "perf:tps"]
"""
BUILD = b"""[workspace]
name = "nmoe"
base = ["origin/main"]
gates = "configs/gates/gates.toml"
contracts = ["configs/contracts/*.yaml"]

[python.nmoe]
module = "nmoe.train"

[files.presets]
srcs = ["configs/*.toml"]
exclude = ["configs/x.toml"]

[trust]
signers = "configs/allowed_signers"
tier_b = { principals = ["runner@x", "!no@x"], sandbox = "audit" }

[action.table]
cmd = "python -m nmoe.table"
deps = [":nmoe", ":presets"]
outs = ["out/table.txt"]
timeout_s = 60
env = { A = "1" }

[owners]
"nmoe/**" = ["one", "two"]

[invariants]
"cold start" = "cpu:import"
"""
CONTRACT = b"""nmoe:
  issue: 03a
  slug: global-attention
  kind: feature
  risk: hot
  complexity: M
  title: "Attention"
  depends_on: [01, 02]
  merge_hotspots: [nmoe/a.py]
scope:
  allow: [nmoe/**, 'docs/*.md']
  deny: []
contract:
  invariants: [nothing changes]
  knobs: {add: [window], change: []}
gates:
  required: [cpu:import]
  perf:
    gate: perf:tps
    metric: tokens_per_s
    baseline_ref: origin/main
    budget_pct: -2.5
merge: {strategy: squash, delete_branch: true}
"""
ATTESTATION = b"""nmoe_pr:
  issue: 03a
  baseline_sha: 0123abc
  pr_sha: 0123abd
  risk: hot
gates_passed:
  tier_a: [cpu:import]
  tier_b: []
perf:
  gate: perf:tps
  metric: tokens_per_s
  baseline: 100
  result: 99
  delta_pct: -1.0
  budget_pct: -2.5
  status: pass
"""
SAMPLES = {
    "gates": ("gates.toml", GATES),
    "build": ("BUILD.toml", BUILD),
    "contract": ("03a-x.yaml", CONTRACT),
    "issue": ("issue.md", b"# Title\n\nWords.\n\n```yaml\n" + CONTRACT + b"```\n\nMore.\n"),
    "attestation": ("pr.md", b"Done.\n\n~~~yaml\n" + ATTESTATION + b"~~~\n"),
}
ODD = [
    b"\xff",
    b"\x00",
    b"\r",
    b"\x1b[0m",
    "\u202e".encode(),
    "\ufeff".encode(),
    "ü".encode(),
    b"\xed\xa0\x80",
    b"&a ",
    b"*a",
    b"!!x ",
    b"<<: ",
    b"---\n",
    b"...\n",
    b"%YAML 1.2\n",
    b"? ",
    b"|\n",
    b">-\n",
    b"[" * 70,
    b"{" * 70,
    b"a." * 50,
    b"9" * 5000,
    b"1e999",
    b"nan",
    b"0x",
    b"1979-05-27",
    b"07:32:61",
    b"'''",
    b'"""',
    b"\\",
    b"\\uD800",
    b'"\\U00110000"',
    b"${{ x }}",
    b"```\n",
    b"<!--",
    b"~~~",
    b"[[x]]\n",
    b"\n[gates]\n",
    b"\n",
    b"\t",
    b": ",
    b"= ",
    b"#",
    b"",
]
ROUNDS = 120
SEEDS = range(5)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four edits: cut, double, move, overwrite, or put in something odd; sometimes on whole lines."""
    for _ in range(rng.randint(1, 4)):
        one, two = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        two = min(two, one + rng.choice([1, 2, 8, 60]))
        lines = data.split(b"\n")
        line = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                data = data[:one] + data[two:]
            case 1:
                data = data[:two] + data[one:]
            case 2:
                data = data[:one] + rng.choice(ODD) + data[one:]
            case 3:
                data = data[:one] + rng.choice(ODD) + data[two:]
            case 4:
                data = data[:one] + bytes([rng.randrange(256)]) + data[one + 1 :]
            case 5:
                data = b"\n".join([*lines[:line], *lines[line + 1 :]])
            case 6:
                data = b"\n".join([*lines[:line], lines[rng.randrange(len(lines))], *lines[line:]])
            case _:
                head, mark, _ = lines[line].partition(rng.choice([b"=", b":"]))
                data = b"\n".join([*lines[:line], head + mark + b" " + rng.choice(ODD), *lines[line + 1 :]])
    return data


def answer(kind: str, data: bytes) -> tuple[str, bool]:
    """What lint says, as text, and whether it accepts; any other exception than a DeclarationError comes through."""
    gates = load_gates(GATES, "gates.toml")
    try:
        return json.dumps(lint_bytes(kind, data, SAMPLES[kind][0], gates), default=repr), True
    except DeclarationError as error:
        assert error.faults
        assert all(fault.what and fault.at is not None for fault in error.faults)
        return render_faults(error.faults), False


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_samples_are_accepted(kind: str) -> None:
    """What is mutated below is whole before."""
    text, accepted = answer(kind, SAMPLES[kind][1])
    assert accepted, text


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", SAMPLES)
def test_no_mutation_brings_out_anything_but_faults(kind: str, seed: int) -> None:
    """Every mutant is data or faults, the same when asked again, in little time and little output."""
    rng = random.Random(f"{kind} {seed}")
    outcomes = set()
    for _ in range(ROUNDS):
        data = mutate(SAMPLES[kind][1], rng)
        start = time.perf_counter()
        text, accepted = answer(kind, data)
        assert time.perf_counter() - start < 5
        assert accepted or len(text) < 65536
        assert "\x1b" not in text
        assert answer(kind, data) == (text, accepted)
        outcomes.add(accepted)
    assert outcomes == {True, False}  # the mutations are neither all harmless nor all fatal


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_beginning_of_a_file_is_data_or_faults(kind: str) -> None:
    """A file that was cut off in the middle is judged like any other."""
    whole = SAMPLES[kind][1]
    for end in range(0, len(whole), 7):
        text, accepted = answer(kind, whole[:end])
        assert accepted or text.startswith("error: ")


@pytest.mark.parametrize("kind", SAMPLES)
def test_bytes_without_any_sense_are_faults(kind: str) -> None:
    """Noise is refused, with a place."""
    rng = random.Random(kind)
    for size in (1, 10, 100, 1000, 10_000):
        text, accepted = answer(kind, rng.randbytes(size))
        assert not accepted
        assert text.startswith(f"error: {SAMPLES[kind][0]}")
