"""What to test next after a failure, scope and knobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Scratch
from hypothesis import given, settings
from hypothesis import strategies as st

from nmoe_graph import Workspace
from nmoe_graph.git.objects import GITLINK, LINK, Entry
from nmoe_graph.label import Label
from nmoe_graph.merge.scope import knob_faults, scope_faults
from nmoe_graph.model import Contract
from nmoe_graph.plan.probe import Next, Probe, Seen, next_probe
from nmoe_graph.result import Result, Verdict


def play(
    order: list[str], fails: Callable[[tuple[str, ...]], bool], known: dict[tuple[str, ...], Seen] | None = None
) -> tuple[Probe, int]:
    """Do what is said until somebody lands or goes back; how many runs that took."""
    seen = {(): Seen(True)} | (known or {})
    for runs in range(100):
        probe = next_probe(order, [0.05] * len(order), lambda names: seen.get(names, Seen()))
        if probe.what in (Next.LAND, Next.EJECT):
            return probe, runs
        before = seen.get(probe.tested, Seen())
        seen[probe.tested] = Seen(False, before.failures + 1) if fails(probe.tested) else Seen(True, before.failures)
    raise AssertionError("no end")


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 20).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_the_first_culprit_goes_back_and_only_tested_prefixes_land(drawn: tuple[int, set[int]]) -> None:
    """Whoever is bad: the first of them is found, in a logarithm of runs, after two clean failures; the rest is given back."""
    size, bad = drawn
    order = [f"{number:02d}" for number in range(size)]
    tested: list[tuple[str, ...]] = []

    def fails(names: tuple[str, ...]) -> bool:
        tested.append(names)
        return any(int(name) in bad for name in names)

    probe, runs = play(order, fails)
    if not bad:
        assert (probe.what, probe.land, runs) == (Next.LAND, tuple(order), 1)
        return
    first = min(bad)
    assert probe.what is Next.EJECT and probe.culprit == order[first] and probe.partner == ""
    assert probe.land == tuple(order[:first]) and probe.rest == tuple(order[first + 1 :])
    assert not probe.land or probe.land in tested
    assert tested.count(tuple(order[: first + 1])) == 2  # failed, and failed once more
    assert runs <= 2 + 2 * size.bit_length()


def test_a_flake_accuses_nobody() -> None:
    """The tip fails once and never again: every prefix passes, the tip is run once more, and all of it lands."""
    count = {"tip": 0}
    order = ["a", "b", "c", "d"]

    def fails(names: tuple[str, ...]) -> bool:
        count["tip"] += len(names) == 4
        return len(names) == 4 and count["tip"] == 1

    probe, _ = play(order, fails)
    assert probe.what is Next.LAND


def test_what_the_machine_did_is_no_evidence() -> None:
    """Time-outs and lost devices, however many: run it again."""
    order = ["a", "b"]
    seen = {(): Seen(True), ("a", "b"): Seen(False, 0, 5)}
    probe = next_probe(order, [0.1, 0.1], seen.get)
    assert (probe.what, probe.tested) == (Next.TEST, ("a", "b")) and "the machine" in probe.reason


def test_a_base_without_a_proof_is_tested_before_anybody_is_accused() -> None:
    """The first contract fails, and nobody ever saw the base pass."""
    seen = {("a",): Seen(False, 1), ("a", "b"): Seen(False, 1)}
    probe = next_probe(["a", "b"], [0.1, 0.1], seen.get)
    assert (probe.what, probe.tested) == (Next.TEST, ())
    probe = next_probe(["a", "b"], [0.1, 0.1], (seen | {(): Seen(False, 2)}).get)
    assert (probe.what, probe.culprit) == (Next.EJECT, "") and "the base fails" in probe.reason


@pytest.mark.parametrize("partner", range(7))
def test_two_that_do_not_get_along_are_named(partner: int) -> None:
    """Each passes alone, the two fail together: the later one goes back, onto the earlier one."""
    order = [f"{number:02d}" for number in range(8)]
    known = {(name,): Seen(True) for name in order}
    probe, _ = play(order, lambda names: {"07", order[partner]} <= set(names), known)
    assert (probe.culprit, probe.partner) == ("07", order[partner]) and "alone" in probe.reason


# -- through the store -----------------------------------------------------------------------------------------------------------


def test_the_next_test_comes_from_recorded_results(scratch: Scratch, ask: Callable[..., Any]) -> None:
    """A train of three fails at its tip: the prefix to test, then the run once more, then who goes back."""
    for issue in ("01", "02", "03"):
        scratch.contract(issue)
    scratch.commit("contracts")
    for issue in ("01", "02", "03"):
        scratch.git("checkout", "-q", "-b", f"issue/{issue}-work", "main")
        scratch.write(f"nmoe/new{issue}.py", f"N = '{issue}'\n")
        scratch.commit(f"work of {issue}")
    scratch.git("checkout", "-q", "main")
    ws = Workspace.open(scratch.root)
    assert ws.build(["cpu:import", "cpu:compileall", "cpu:grep"], at="main").exit_code == 0
    steps = {step.contract: step for step in ws.plan_merges(["01", "02", "03"], base="main").steps}
    assert list(steps) == ["01", "02", "03"]

    def record(issue: str, verdict: Verdict) -> None:
        for gate in steps[issue].gates:
            if gate.label.startswith("//gates/cpu"):
                ws.store.record(
                    Result(gate.action_key, gate.label, verdict, started=f"2026-01-01T00:00:{len(ws.store.all()):02d}"), b""
                )

    args = ("plan-merges", "--after-failure", "01,02,03", "--base", "main")
    assert ask(*args)["next"] == "test" and ask(*args)["tested"] == ["01", "02", "03"]
    record("03", Verdict.TIMED_OUT)
    assert ask(*args)["tested"] == ["01", "02", "03"]
    record("03", Verdict.FAILED)
    assert ask(*args)["tested"] == ["01"]
    record("01", Verdict.PASSED)
    found = ask(*args)
    assert (found["tested"], found["land"]) == (["01", "02"], ["01"])
    record("02", Verdict.FAILED)
    assert (ask(*args)["next"], ask(*args)["culprit"]) == ("rerun", "02")
    record("02", Verdict.FAILED)
    found = ask(*args)
    assert (found["next"], found["culprit"], found["rest"]) == ("eject", "02", ["03"])


# -- scope and knobs -------------------------------------------------------------------------------------------------------------


def contract(**said: Any) -> Contract:
    return Contract(Label("contracts", "01"), "01", "w", "feature", "cold", "S", **said)


def test_scope_names_every_file_and_what_is_done_to_it() -> None:
    """Renames count at both ends; modes, links and submodules are said in words; deny beats allow."""
    file, program = (0o100644, "a" * 40), (0o100755, "a" * 40)
    changes: list[tuple[str, Entry | None, Entry | None]] = [
        ("nmoe/ok.py", file, (0o100644, "b" * 40)),
        ("nmoe/csrc/k.cu", None, file),
        ("old.py", file, None),
        ("run.sh", file, program),
        ("ln", None, (LINK, "c" * 40)),
        ("sub", (GITLINK, "a" * 40), (GITLINK, "b" * 40)),
        ("was", file, (LINK, "c" * 40)),
    ]
    assert scope_faults(contract(allow=("nmoe/**",), deny=("nmoe/csrc/**",)), changes) == [
        ("nmoe/csrc/k.cu", "file added; denied by nmoe/csrc/**"),
        ("old.py", "file deleted; not in scope.allow"),
        ("run.sh", "mode changed from 100644 to 100755; not in scope.allow"),
        ("ln", "link added; not in scope.allow"),
        ("sub", "submodule changed; not in scope.allow"),
        ("was", "file became a link; not in scope.allow"),
    ]
    assert scope_faults(contract(), changes) == []


CONFIG = (
    "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Config:\n    dim: int = 8  # size\n    lr: float = 1e-3\n"
)


@pytest.mark.parametrize(
    ("config", "preset", "said", "faults"),
    [
        (CONFIG.replace("# size", "# width"), "dim = 8\n# note\n", {}, []),
        (CONFIG.replace("= 8", "= 16"), "dim = 8\n", {}, ["knob dim is changed, and knobs.change does not name it"]),
        (CONFIG.replace("= 8", "= 16"), "dim = 8\n", {"knobs_change": ("dim",)}, []),
        (CONFIG + "    new: int = 1\n", "dim = 8\nnew = 2\n", {}, ["knob new is added, and knobs.add does not name it"]),
        (CONFIG + "    new: int = 1\n", "dim = 8\n", {"knobs_add": ("new",)}, []),
        (CONFIG, "dim = 9\n", {}, ["knob dim is changed, and knobs.change does not name it"]),
        (CONFIG, "dim = 8\n", {"knobs_add": ("new",)}, ["knobs.add names new, which the change does not add"]),
        (CONFIG + "    broken(\n", "dim = 8\n", {}, ["nmoe/config.py cannot be read, so its knobs are not checked"]),
    ],
)
def test_knobs_are_what_the_contract_says(
    scratch: Scratch, config: str, preset: str, said: dict[str, Any], faults: list[str]
) -> None:
    """By syntax tree and by data: comments do not count, fields and keys do."""
    objects = Workspace.open(scratch.root).repository.objects
    changes = [
        (path, (0o100644, objects.keep_blob(old.encode())), (0o100644, objects.keep_blob(new.encode())))
        for path, old, new in (("nmoe/config.py", CONFIG, config), ("configs/tiny.toml", "dim = 8\n", preset))
        if old != new
    ]
    assert knob_faults(contract(**said), changes, objects) == faults
