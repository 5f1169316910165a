"""Toolchains and required variables: what of the environment is in a key is there on purpose, and what the host is, is not."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Scratch

from nmoe_graph import DeclarationError, Workspace
from nmoe_graph.execute.host import IMAGE, lacking
from nmoe_graph.label import parse_label
from nmoe_graph.load.build import load_build
from nmoe_graph.load.gates import load_gates
from nmoe_graph.model import Toolchain

DIGEST = "sha256:" + "a" * 64
TOOLS = f"""
[toolchain.train]
lock = ["train.lock"]
image = "ghcr.io/example/nmoe@{DIGEST}"
versions = {{ python = ">=3.11,<4" }}

[toolchain.new_python]
versions = {{ python = ">=99" }}

[toolchain.this_python]
versions = {{ python = ">=3.11" }}
"""
GATES = """
[gates."cpu:tools"]
tier = "a"
timeout_s = 30
cmd = "grep -q one docs/a.txt"
toolchains = ["//:{tool}"]

[bundles]
"""


@pytest.fixture
def tools(scratch: Scratch) -> Callable[[str], Scratch]:
    """A gate that names a toolchain."""

    def made(tool: str) -> Scratch:
        scratch.write("BUILD.toml", scratch.read("BUILD.toml") + TOOLS)
        scratch.write("train.lock", "torch==2.13.0\n")
        scratch.replace("configs/gates/gates.toml", "\n[bundles]\n", GATES.format(tool=tool))
        scratch.commit()
        return scratch

    return made


def reasons(scratch: Scratch) -> list[tuple[str, str]]:
    report = Workspace.open(scratch.root).affected("HEAD", kinds=["gate"])
    return [(change.cause.name, change.subject) for one in report for change in one.reasons]


def test_a_lock_file_an_image_and_a_range_are_in_the_key(tools: Callable[[str], Scratch]) -> None:
    """Each of the three invalidates the gates that name the toolchain, and no other; `affected` says which."""
    scratch = tools("train")
    assert reasons(scratch) == []
    scratch.write("train.lock", "torch==2.13.1\n")
    assert reasons(scratch) == [("TOOLCHAIN", "train.lock")]
    scratch.write("train.lock", "torch==2.13.0\n")
    build = scratch.read("BUILD.toml")
    scratch.write("BUILD.toml", build.replace("a" * 64, "b" * 64))
    assert reasons(scratch) == [("TOOLCHAIN", "image")]
    scratch.write("BUILD.toml", build.replace(">=3.11,<4", ">=3.12,<4"))
    assert reasons(scratch) == [("TOOLCHAIN", "versions")]
    scratch.write("BUILD.toml", build.replace("toolchain.train", "toolchain.other"))
    scratch.replace("configs/gates/gates.toml", "//:train", "//:other")
    assert reasons(scratch) == [], "a name is no tool"


def test_a_toolchain_is_a_target(tools: Callable[[str], Scratch], cli: Callable[..., tuple[int, str, str]]) -> None:
    """It can be asked about like every other, and its own reasons are told."""
    scratch = tools("train")
    scratch.write("train.lock", "torch==2.13.1\n")
    code, out, _ = cli("affected", "--since", "HEAD", "--kind", "toolchain,gate", "--format", "json")
    rows = {row["label"]: row for row in json.loads(out)["targets"]}
    assert (code, set(rows)) == (0, {"//:train", "//gates/cpu:tools"})
    assert rows["//:train"]["reasons"][0]["cause"] == "toolchain"
    assert cli("query", "rdeps", "//:train", "--format", "label")[1] == "//gates/cpu:tools\n"


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        ("train", f"needs image ghcr.io/example/nmoe@{DIGEST}"),
        ("new_python", f"needs python >=99 ({platform.python_version()} here)"),
        ("this_python", ""),
    ],
)
def test_a_host_without_the_tools_proves_nothing(tools: Callable[[str], Scratch], tool: str, reason: str) -> None:
    """A key that names an image stands only for runs in it; what is not there is said."""
    report = Workspace.open(tools(tool).root).build("cpu:tools")
    (outcome,) = report.gates
    assert outcome.proven is not bool(reason)
    assert outcome.reason.startswith(reason)
    assert report.exit_code == (3 if reason else 0)


def test_a_proof_is_found_by_hosts_that_could_not_make_it(tools: Callable[[str], Scratch], monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs in the image leaves a proof that a host without it finds; the image is in the fingerprint."""
    scratch = tools("train")
    monkeypatch.setenv(IMAGE, DIGEST)
    assert Workspace.open(scratch.root).build("cpu:tools").exit_code == 0
    monkeypatch.delenv(IMAGE)
    again = Workspace.open(scratch.root).build("cpu:tools")
    assert (again.exit_code, again.gates[0].cached) == (0, True)
    (kept,) = Workspace.open(scratch.root).results("cpu:tools").results
    assert dict(kept.fingerprint)["image"] == DIGEST


def test_what_is_lacking_is_told_once() -> None:
    """Two toolchains that want the same thing want it once; a distribution that is not installed is named."""
    label = parse_label("//:x")
    wants = Toolchain(label, versions=(("no-such-distribution", ">=1"), ("python", ">=3.11")))
    assert lacking([wants, wants]) == ["no-such-distribution >=1 (not here)"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[toolchain.a]\n", "names nothing"),
        ('[toolchain.a]\nimage = "ghcr.io/x/y:latest"\n', "a tag can move"),
        ('[toolchain.a]\nversions = { python = "3.11" }\n', "no version range"),
        ('[toolchain.a]\nversions = { python = "" }\n', "is empty"),
        ('[toolchain.a]\nversions = { "a b" = ">=1" }\n', "neither python nor"),
        ('[toolchain.a]\nlock = ["../x"]\n', "leads outside"),
        ('[toolchain.a]\nlocks = ["x"]\n', "unknown key"),
    ],
)
def test_bad_toolchains(text: str, word: str) -> None:
    """Each is one fault with its place."""
    with pytest.raises(DeclarationError) as raised:
        load_build(text.encode(), "BUILD.toml", "")
    assert word in f"{raised.value.faults[0].what} {raised.value.faults[0].hint}"
    assert raised.value.faults[0].at is not None


def test_the_world_of_toolchains_is_closed(scratch: Scratch, cli: Callable[..., tuple[int, str, str]]) -> None:
    """An unknown toolchain, a target of another kind and a lock file that is not there are errors before anything runs."""
    scratch.write("BUILD.toml", scratch.read("BUILD.toml") + '\n[toolchain.a]\nlock = ["no.lock"]\n[files.f]\nsrcs = ["docs/*"]\n')
    more = GATES.format(tool="none") + GATES.format(tool="f").replace("cpu:tools", "cpu:more").replace("\n[bundles]\n", "")
    gates = scratch.read("configs/gates/gates.toml")
    scratch.write("configs/gates/gates.toml", gates.replace("\n[bundles]\n", more.replace("\n[bundles]\n", "") + "\n[bundles]\n"))
    code, _, err = cli("affected", "--since", "HEAD")
    assert code == 2
    assert "no.lock does not exist and is a lock file of //:a" in err
    assert "cpu:tools needs //:none, and there is no such target" in err
    assert "cpu:more wants //:f as a toolchain, and that is a files" in err


# -- variables -----------------------------------------------------------------------------------------------------------------

KEYED = """
[gates."cpu:where"]
tier = "a"
timeout_s = 30
cmd = "test -n \\"$NMOE_DATA_PATH\\" && grep -q one docs/a.txt"
requires = {requires}

[bundles]
"""


@pytest.mark.parametrize(
    ("requires", "counts"), [('["NMOE_DATA_PATH"]', False), ('[{ name = "NMOE_DATA_PATH", key = true }]', True)]
)
def test_a_required_value_counts_only_where_that_is_declared(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, requires: str, counts: bool
) -> None:
    """Where data lies is the machine's business, unless the gate says otherwise; a kept table never hides the difference."""
    scratch.replace("configs/gates/gates.toml", "\n[bundles]\n", KEYED.format(requires=requires))
    scratch.commit()
    monkeypatch.setenv("NMOE_DATA_PATH", "one")
    first = Workspace.open(scratch.root).build("cpu:where").gates[0]
    monkeypatch.setenv("NMOE_DATA_PATH", "two")
    second = Workspace.open(scratch.root).build("cpu:where").gates[0]
    assert (first.cached, second.cached) == (False, not counts)
    assert (first.action_key != second.action_key) is counts
    monkeypatch.setenv("NMOE_DATA_PATH", "one")
    scratch.write("docs/b.txt", "unrelated\n")
    third = Workspace.open(scratch.root).build("cpu:where").gates[0]
    assert (third.cached, third.action_key) == (True, first.action_key)


def test_the_value_itself_is_kept_nowhere(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its digest is: a path of one machine is nobody else's business."""
    scratch.replace("configs/gates/gates.toml", "\n[bundles]\n", KEYED.format(requires='[{ name = "NMOE_DATA_PATH", key = true }]'))
    monkeypatch.setenv("NMOE_DATA_PATH", "a-very-private-place")
    workspace = Workspace.open(scratch.root)
    report = workspace.why("cpu:where")
    assert "a-very-private-place" not in json.dumps(report.to_dict())
    manifest: dict[str, Any] = workspace.analysis().kept_manifest("//gates/cpu:where")
    (row,) = manifest["requires"]
    assert row[0] == "NMOE_DATA_PATH"
    assert len(row[1]) == 64


def test_required_variables_are_checked_in_both_forms() -> None:
    """A credential, a name that is none and a repeat are refused in the long form as in the short one."""
    head = '[gates."cpu:x"]\ntier = "a"\ntimeout_s = 1\ncmd = "true"\nrequires = '
    for requires, word in (
        ('[{ name = "API_KEY" }]', "credential"),
        ('[{ name = "A B" }]', "no variable name"),
        ('["A", { name = "A", key = true }]', "stands twice"),
        ("[{ key = true }]", "missing"),
        ('[{ name = "A", keys = true }]', "unknown key"),
        ("[1]", "must be text"),
    ):
        with pytest.raises(DeclarationError) as raised:
            load_gates((head + requires + "\n").encode(), "gates.toml")
        assert any(word in fault.what for fault in raised.value.faults), [fault.what for fault in raised.value.faults]
