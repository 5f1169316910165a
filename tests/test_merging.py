"""Merges in memory: equal to git's, and nothing is touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import merges
import pytest
from conftest import Scratch

from nmoe_graph.git.lines import merge_lines
from nmoe_graph.git.merging import Merger, MergeResult, _Side, conflict_lines
from nmoe_graph.git.patch import patch_id
from nmoe_graph.git.repository import Repository

#: More merges for a night: NMOE_GRAPH_MERGES=20000.
COUNT = int(os.environ.get("NMOE_GRAPH_MERGES", "500"))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[merges.Case], list[tuple[bool, str, list[str]]]]:
    root = tmp_path_factory.mktemp("generated")
    cases = merges.generated(root, COUNT, seed=11) + merges.generated(root, COUNT // 2, seed=12, gentle=True)
    return root, cases, merges.by_git(root, cases)


Facts = list[tuple[bool, str, list[str]]]


def differing(root: Path, cases: list[merges.Case], facts: Facts, exact_only: bool = False) -> list[object]:
    wrong: list[object] = []
    with Merger(Repository.open(root)) as merger:
        for case, (clean, tree, paths) in zip(cases, facts, strict=True):
            found = merger.merge(case.base, case.ours, case.theirs)
            if exact_only and (found.conflicts or not found.exact):
                continue
            if (not found.conflicts) != clean or list(found.conflicts) != paths or (clean and found.tree != tree):
                wrong.append((case, clean, tree, paths, found))
    return wrong


def test_merges_are_equal_to_those_of_git(generated) -> None:  # type: ignore[no-untyped-def]
    """Tree and conflicted paths, over renames, modes, deletions against edits, additions on both sides, white space, CRLF,
    binary files, submodules, links, files against folders."""
    root, cases, facts = generated
    assert 0.3 < sum(clean for clean, _, _ in facts) / len(facts) < 0.9  # the generator makes both sorts
    assert differing(root, cases, facts) == []


def test_the_comparison_can_fail(generated, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A merger that forgets renames is caught by the same comparison."""
    root, cases, facts = generated
    monkeypatch.setattr(_Side, "renames_matter_to", lambda self, other: False)
    assert differing(root, cases[:250], facts[:250])


def test_without_git_what_is_answered_is_right(generated, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A merge that calls itself exact and clean is the one that git makes; most clean ones are answered."""
    root, cases, facts = generated
    monkeypatch.setenv("NMOE_GRAPH_GIT", "none")
    assert differing(root, cases, facts, exact_only=True) == []
    with Merger(Repository.open(root)) as merger:
        answered = sum(
            clean and (found := merger.merge(case.base, case.ours, case.theirs)).exact and not found.conflicts
            for case, (clean, _, _) in zip(cases, facts, strict=True)
        )
    assert answered > 0.5 * sum(clean for clean, _, _ in facts)


def test_conflicted_trees_are_those_of_git(generated) -> None:  # type: ignore[no-untyped-def]
    """With branches called as ours are, the tree with its markers is the same too."""
    root, cases, facts = generated
    some = [case for case, (clean, _, _) in zip(cases, facts, strict=True) if not clean][:60]
    with Merger(Repository.open(root)) as merger:
        for case in some:
            for name, commit in zip(("ours", "theirs"), case.commits[1:], strict=True):
                (root / ".git/refs/heads" / name).write_text(commit + "\n")
            command = ["git", "merge-tree", "--write-tree", "--name-only", "--no-messages", "ours", "theirs"]
            out = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
            found = merger.merge(case.base, case.ours, case.theirs)
            assert found.tree == out.split()[0]
            assert found.kinds


class Kept:
    """A memo in memory."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], object] = {}

    def get(self, kind: str, key: str) -> object:
        return self.rows.get((kind, key))

    def put(self, kind: str, key: str, value: object) -> None:
        self.rows[kind, key] = value


def test_a_remembered_merge_costs_no_git_and_can_be_read_and_built_upon(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process knows the tree's id from the memo alone; asked for its content, or to merge upon it, it makes it."""
    text = "".join(f"{number}\n" for number in range(9))
    scratch.write("nmoe/long.py", text)
    base = scratch.commit()
    sides = []
    for line in ("1\n", "8\n", "4\n"):
        scratch.git("checkout", "-q", base)
        scratch.write("nmoe/long.py", text.replace(line, f"new {line}"))
        sides.append(scratch.git("rev-parse", scratch.commit() + "^{tree}"))
    root = scratch.git("rev-parse", base + "^{tree}")
    memo = Kept()
    with Merger(Repository.open(scratch.root), memo) as merger:
        first = merger.merge(root, sides[0], sides[1])
        second = merger.merge(root, first.tree, sides[2])
    assert second.conflicts == () and len(memo.rows) == 2
    memo.rows = {key: value for key, value in memo.rows.items() if value[0] == first.tree}  # type: ignore[index]
    repository = Repository.open(scratch.root)
    with Merger(repository, memo) as merger:
        monkeypatch.setattr(merger, "_merge", forbidden := Forbidden(merger._merge))
        assert merger.merge(root, sides[0], sides[1]) == first
        assert forbidden.calls == 0 and not repository.objects.holds(first.tree)
        merger.bring(first.tree)
        assert repository.objects.holds(first.tree) and forbidden.calls == 1
        assert merger.merge(root, first.tree, sides[2]) == second


class Forbidden:
    def __init__(self, real) -> None:  # type: ignore[no-untyped-def]
        self.real, self.calls = real, 0

    def __call__(self, key: tuple[str, str, str]) -> MergeResult:
        self.calls += 1
        result: MergeResult = self.real(key)
        return result


def test_attributes_of_ours_count_and_the_callers_configuration_does_not(scratch: Scratch) -> None:
    """`-merge` in ours makes a conflict; a merge driver of whoever asks is not run."""
    scratch.write("nmoe/.gitattributes", "x.lock -merge\n*.drv merge=evil\n")
    rows = "".join(f"{number}\n" for number in range(20))
    for name in ("x.lock", "y.drv"):
        scratch.write(f"nmoe/{name}", rows)
    base = scratch.commit()
    scratch.git("config", "merge.evil.driver", f"touch {scratch.root}/ran")
    trees = [scratch.git("rev-parse", base + "^{tree}")]
    for number in ("2\n", "17\n"):
        scratch.git("checkout", "-q", base)
        for name in ("x.lock", "y.drv"):
            scratch.write(f"nmoe/{name}", rows.replace(f"\n{number}", f"\nnew {number}"))
        trees.append(scratch.git("rev-parse", scratch.commit() + "^{tree}"))
    with Merger(Repository.open(scratch.root)) as merger:
        assert merger.merge(*trees).conflicts == ("nmoe/x.lock",)
    assert not (scratch.root / "ran").exists()


def test_lines_in_conflict_are_named_on_both_sides() -> None:
    """From the markers: which lines of ours, which of theirs; an empty side is the gap before its line."""
    merged = b"a\n<<<<<<< ours\nb\nc\n=======\nB\n>>>>>>> theirs\nd\n<<<<<<< ours\n=======\nE\n>>>>>>> theirs\n"
    found = [(one.ours, one.theirs) for one in conflict_lines("f", merged)]
    assert found == [((2, 3), (2, 2)), ((5, 4), (4, 4))]


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        (b"A\nb\nc\n", b"a\nb\nC\n", b"A\nb\nC\n"),
        (b"A\nb\nc\n", b"a\nB\nc\n", None),
        (b"0\na\nb\nc\n", b"a\nb\nc\n1\n", b"0\na\nb\nc\n1\n"),
        (b"A\nb\nc\n", b"a\nb\nb\nC\n", None),
        (b"A\0\nb\nc\n", b"a\nb\nC\n", None),
    ],
    ids=["apart", "beside each other", "both ends", "the line between is not unique", "binary"],
)
def test_lines_are_merged_only_where_it_is_certain(ours: bytes, theirs: bytes, merged: bytes | None) -> None:
    """Neighbours, repeats and binary text are left to git."""
    assert merge_lines(b"a\nb\nc\n", ours, theirs) == merged


def test_patch_identity_survives_a_rebase_and_nothing_else(scratch: Scratch) -> None:
    """The same edit on a moved base has the same identity; another edit has another, and no edit has none."""
    repository = Repository.open(scratch.root)
    rows = "".join(f"{number}\n" for number in range(20))
    scratch.write("nmoe/long.py", rows)
    trees = [scratch.git("rev-parse", scratch.commit() + "^{tree}")]
    for new in (rows.replace("15\n", "fifteen\n"), "first\n" + rows, "first\n" + rows.replace("15\n", "fifteen\n")):
        scratch.write("nmoe/long.py", new)
        trees.append(scratch.git("rev-parse", scratch.commit() + "^{tree}"))
    assert patch_id(repository, trees[0], trees[1]) == patch_id(repository, trees[2], trees[3]) != ""
    assert patch_id(repository, trees[0], trees[1]) != patch_id(repository, trees[0], trees[2])
    assert patch_id(repository, trees[0], trees[0]) == ""
