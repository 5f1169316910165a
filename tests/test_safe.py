"""Public safety: what must stay inside is found, never repeated, and honest text is left alone.

Texts that look like secrets are put together here, so that no scanner of repositories takes this file for a leak.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph.errors import DeclarationError, render_faults
from nmoe_graph.load.lint import lint_bytes
from nmoe_graph.safe import findings, redact

LAW = settings(deadline=None, derandomize=True, max_examples=200)
SALT = "aB3" * 12
HOME, USERS = "/home" + "/", "/Users" + "/"

CREDENTIALS = [
    "gh" + "p_" + SALT,
    "github" + "_pat_" + SALT,
    "gl" + "pat-" + SALT,
    "AK" + "IA" + "ABCDEFGHIJKLMNOP",
    "s" + "k-" + "proj-" + SALT,
    "s" + "k_" + "live_" + SALT,
    "h" + "f_" + SALT,
    "xo" + "xb-" + "123456789012",
    "AI" + "za" + SALT,
    "np" + "m_" + SALT,
    "py" + "pi-" + SALT,
    "ey" + "JhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxIn0.abc",
    "-----BEGIN " + "RSA PRIVATE " + "KEY-----",
    "https://someone:" + "hunter22" + "@example.com/x",
    "Authorization" + ": Bearer " + "abcdef0123456789",
    "API" + "_KEY=" + "s3cr3tvalue99",
    "pass" + "word: " + "hunter2hunter2",
]
OTHERS = {
    "ip": ["10.1.2.3", "192.168.0.1", "172.16.3.4", "172.31.255.1", "100.64.1.1", "169.254.1.1", "fd00::1", "fe80::1%eth0"],
    "host": ["gpu.cluster.local", "db.prod.internal", "wiki.corp", "nas.local", "b200-node-07", "gpu-12", "node12"],
    "path": [
        HOME + "alice/x",
        USERS + "bob/x",
        "/root" + "/.ssh/id",
        "/mnt/data1/x",
        "/data/fineweb",
        "/scratch/x",
        "s3://bucket/key",
        "gs://b/k",
        "file:///x/y",
        "C:\\Users\\x",
        "\\\\server\\share",
    ],
    "cluster": [
        "kubectl get pods",
        "KUBECONFIG=/x",
        "namespace: team-a",
        "trainer-5d4f8c7b9d-abcde",
        "sbatch -p gpu x.sh",
        "arn:aws:iam::" + "1234" * 3 + ":role/x",
    ],
}
UNSAFE = [("credential", text) for text in CREDENTIALS] + [(kind, text) for kind, texts in OTHERS.items() for text in texts]
CLEAN = [
    "python -m nmoe.train configs/moonlet.toml --steps=10",
    "https://github.com/a/b/pull/10",
    "https://example.com/home/page",
    "nmoe/data/loader.py",
    "${NMOE_DATA_PATH}/x",
    "H100 and B200, sm_100a",
    "8.8.8.8 and 127.0.0.1 and 1.2.3.4",
    "172.15.0.1 and 172.32.0.1 and 100.63.0.1 and 11.0.0.1",
    "cuDNN 10.5.1.17, driver version 10.1.2.3",
    "commit 0123456789abcdef0123456789abcdef01234567",
    "//gates/b200:moonlet_1x10",
    "/dev/null and /usr/bin/env python3",
    HOME + "runner/work",
    "localhost:8080",
    "self.local = threading.local()",
    "import torch.distributed.run",
    "tok_per_s: 10.5",
    "a password is required",
    'token = os.environ["X"]',
    "secret: ${{ secrets.X }}",
    "fp8-e4m3, top-k 8, state-of-the-art",
    "issue/03a-attention",
    "worker-3",
    "größe: 10 µs",
]
KINDS = {"credential": "credential", "ip": "IP address", "host": "host", "path": "path", "cluster": "cluster"}


@pytest.mark.parametrize(("kind", "text"), UNSAFE)
def test_what_must_stay_inside_is_found(kind: str, text: str) -> None:
    """In the middle of a sentence, the first finding is of its kind and covers the text's start."""
    found = findings(f"first line\nsee {text} here")
    assert found
    assert (found[0].kind, found[0].line) == (kind, 2)
    assert found[0].column <= 5 + len(text)
    assert KINDS[kind] in found[0].words()


@pytest.mark.parametrize("text", CLEAN)
def test_honest_text_is_left_alone(text: str) -> None:
    """Commands, labels, versions, public addresses and prose have no findings and are not changed."""
    assert findings(text) == ()
    assert redact(text) == text


@pytest.mark.parametrize(("kind", "text"), UNSAFE)
def test_a_finding_shows_at_most_four_characters(kind: str, text: str) -> None:
    """Nobody reads a secret in the message that reports it."""
    for found in findings(text):
        assert len(found.shown) <= 4
        assert text not in found.words()


@pytest.mark.parametrize(("kind", "text"), UNSAFE)
def test_redaction_takes_everything_out(kind: str, text: str) -> None:
    """A redacted text has no findings, keeps its lines, and says what is gone."""
    clean = redact(f"before\nsee {text}\nafter")
    assert findings(clean) == ()
    assert text not in clean
    lines = clean.split("\n")
    assert (lines[0], lines[2]) == ("before", "after")
    assert "removed]" in lines[1]


@LAW
@given(
    st.lists(st.sampled_from([text for _, text in UNSAFE] + CLEAN + ["", "\t", "x" * 600]), max_size=12),
    st.sampled_from([" ", "\n"]),
)
def test_redaction_is_idempotent(parts: list[str], joint: str) -> None:
    """Redacting twice is redacting once; a clean text stays as it is."""
    once = redact(joint.join(parts))
    assert redact(once) == once


@LAW
@given(st.text(max_size=300))
def test_findings_point_into_their_line(text: str) -> None:
    """Columns lie inside the line, findings are in order and do not overlap."""
    lines = text.split("\n")
    before = (0, 0)
    for found in findings(text):
        assert (found.line, found.column) >= before
        assert 1 <= found.column < found.end <= len(lines[found.line - 1]) + 1
        before = (found.line, found.end)


def test_a_secret_is_found_wherever_it_stands_in_a_long_line() -> None:
    """A line is read in pieces; what lies across two pieces is found once."""
    secret = CREDENTIALS[0]
    for at in (0, 19_970, 19_990, 20_000, 20_100, 45_000):
        found = findings(" " * at + secret + " " * 30_000)
        assert [(one.column, one.end) for one in found] == [(at + 1, at + 1 + len(secret))]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 20_000,
        "a-" * 10_000,
        "1." * 10_000,
        "/a" * 10_000,
        "a:" * 10_000,
        "ey" + "J.-" * 7_000,
        "kubectl get " * 1_600,
        "curl -u a " * 2_000,
        "https://a:" * 2_000,
        "cluster: a-" * 1_800,
        "srun -p " * 2_500,
        "token_" * 3_300,
        "password login " * 1_300,
        "ssh a@" * 3_300,
        "10.0.0.1 " * 60_000,
    ],
)
def test_hostile_lines_cost_little(text: str) -> None:
    """No pattern backtracks without end: a long line takes seconds at the very most."""
    start = time.perf_counter()
    findings(text)
    assert time.perf_counter() - start < 10


def test_many_findings_of_one_line_are_all_found_and_all_gone() -> None:
    """Side by side, each once and at its place; an allowed word between them stays."""
    text = "10.0.0.1 worker-12 " * 3_000
    found = findings(text, ("worker-12",))
    assert [(one.column, one.end) for one in found] == [(1 + 19 * at, 9 + 19 * at) for at in range(3_000)]
    assert redact(text, ("worker-12",)) == "[ip removed] worker-12 " * 3_000


def test_what_overlaps_over_two_lines_leaves_no_pieces() -> None:
    """A path that goes on in the next line, where another begins: each line holds marks and nothing of either."""
    text = "/efs/mira/a\\\nC:" + "\\Users\\mir\\\nend"
    assert redact(text).split("\n")[:2] == ["[path removed]", "[path removed]"]


CONTRACT = """nmoe:
  issue: 01
  slug: work
  kind: feature
  risk: cold
  complexity: S
scope:
  allow: [nmoe/**]
gates:
  required: [cpu:a]
"""
GATE = '[gates."cpu:a"]\ntier = "a"\ntimeout_s = 1\ncmd = "true"\n'
SECRET = CREDENTIALS[0]
PLACES = {
    "a value": ("contract", CONTRACT.replace("slug: work", f"slug: {SECRET}")),
    "a title": ("contract", CONTRACT.replace("slug: work", f"slug: work\n  title: {SECRET}")),
    "an id": ("contract", CONTRACT.replace("issue: 01", f"issue: {SECRET}")),
    "a key": ("contract", CONTRACT.replace("slug: work", f"slug: work\n  {SECRET}: 1")),
    "a duplicate key": ("contract", CONTRACT + f"{SECRET}: 1\n{SECRET}: 2\n"),
    "a tag's key": ("contract", f"{SECRET}: !x y\n"),
    "a key with a long value": ("contract", f"{SECRET}: {'y' * 5000}\n"),
    "a path": ("contract", CONTRACT.replace("nmoe/**", f"/{SECRET}/../x")),
    "a gate": ("contract", CONTRACT.replace("cpu:a", f"cpu:{SECRET}")),
    "a comment": ("contract", f"# {SECRET}\n" + CONTRACT),
    "YAML that is none": ("contract", f"nmoe: [{SECRET}\n"),
    "an issue's block": ("issue", f"Hello\n```yaml\n{CONTRACT}{SECRET}: 1\n{SECRET}: 2\n```\n"),
    "a gate's name": ("gates", GATE.replace("cpu:a", SECRET)),
    "a gate's key": ("gates", GATE + f"{SECRET} = 1\n"),
    "a gate's key twice": ("gates", GATE + f"{SECRET} = 1\n{SECRET} = 2\n"),
    "a gate's table twice": ("gates", f"[x.{SECRET}]\n[x.{SECRET}]\n"),
    "a gate's command": ("gates", GATE.replace("true", SECRET)),
    "an inline table": ("gates", f"{SECRET} = {{\n}}\n"),
    "TOML that is none": ("gates", f'x = "{SECRET}\n'),
    "a dependency": ("build", f'[files.a]\nsrcs = ["x"]\ndeps = [":{SECRET}"]\n'),
    "a target": ("build", f'[files."{SECRET} x"]\nsrcs = ["x"]\n'),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_fault_repeats_a_secret(place: str) -> None:
    """Wherever a credential stands in a declaration, the file is refused and no part of a fault holds it."""
    kind, text = PLACES[place]
    with pytest.raises(DeclarationError) as caught:
        lint_bytes(kind, text.encode(), "f")
    assert SECRET not in render_faults(caught.value.faults)
    assert all(SECRET not in str(fault.to_dict()) for fault in caught.value.faults)
