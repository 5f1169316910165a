"""Landing, on a local branch: what was planned and proven, and nothing else.

One unit (a contract, or a train) is one transaction over refs: the base moves from the commit that was planned on to the new
one, each branch must still be where it was, and those that are done are deleted; git makes all of it or none.  Before, the
commits are written as objects that nothing refers to; a journal says what is under way.  Killed at any point, the next run
reads the journal: it finishes what the transaction left to do (the work tree of a base that is checked out), or finds that
nothing happened and begins anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..answers import BuildReport, Landed, MergeReport
from ..asking.asked import Asked
from ..errors import HostError, SnapshotError, UsageError, printable
from ..execute.build import Events
from ..git.program import run_git
from ..git.snapshot import Snapshot
from ..git.writing import write_tree
from ..label import Label
from ..locks import held
from ..plan.merge import MergePlan, Status, Step
from .commit import landing_commit
from .planner import CONTROL_PLANE, MergePlanner

__all__ = ["Lander"]


class Lander:
    """Plans, checks that all is proven, and lands."""

    def __init__(self, workspace: Asked, base: str | None, branches: Mapping[str, str]) -> None:
        self._workspace, self._repository = workspace, workspace.repository
        if not self._repository.git:
            raise HostError("landing needs the git program", hint="install git; plan-merges answers without it")
        self._git: str = self._repository.git
        self._base, self._named = base, dict(branches)
        self._notes: list[str] = []
        self._journal = self._repository.state_dir / "landing.json"

    def _run(
        self, args: Sequence[str], accept: tuple[int, ...] = (0,), stdin: bytes = b"", where: Path | None = None
    ) -> tuple[int, str]:
        status, out = run_git(self._git, where or self._repository.root, args, accept=accept, stdin=stdin)
        return status, out.decode("utf-8", "surrogateescape").strip()

    # -- the whole -------------------------------------------------------------------------------------------------------------

    def land(
        self, wanted: Sequence[str], *, train: bool, dry_run: bool, prove: bool = False, events: Events | None = None
    ) -> MergeReport:
        """Land contracts, one after the other or as one train; without any, the first batch of the plan.

        With `prove`, gates that are missing at the tree to land are run first, if this machine can; `events` hears of them.

        Raises:
            UsageError: the base is no local branch, or a work tree of it holds changes.
            SnapshotError: a ref moved meanwhile; nothing more was changed.
        """
        self._prove, self._events = prove, events
        with self._locked():
            if not dry_run:
                self._resume()
            ref = self._base_branch()
            rows: list[Landed] = []
            left = [one.removeprefix("//contracts:").removeprefix("//merges:") for one in wanted]
            while True:
                planner = MergePlanner(self._workspace, ref, ref, self._named)  # contracts as the base has them
                if not wanted and not rows:
                    plan = planner.plan()
                    left = list(plan.batches[0].contracts) if plan.batches else []
                    if later := [one for batch in plan.batches[1:] for one in batch.contracts]:
                        self._notes.append(f"the first batch of {len(plan.batches)}; after it: {', '.join(later)}")
                if not left:
                    break
                already = [one for one in left if planner.known(one).issue in planner.landed]
                self._notes += [f"contract {one} has landed already" for one in already]
                left = [one for one in left if one not in already]
                if not left:
                    break
                plan, unit, missing = self._next(planner, left, train)
                if missing or dry_run:
                    rows += [self._row(step, missing=tuple(missing.get(step.contract, ()))) for step in unit]
                    later = [one for one in left if one not in {step.contract for step in unit}]
                    if later:
                        self._notes.append(f"not looked at yet: {', '.join(later)}")
                    break
                rows += self._land_unit(planner, plan, unit, ref)
                left = [one for one in left if one not in {step.contract for step in unit}]
            return MergeReport(ref, self._repository.resolve(ref), tuple(rows), dry_run, tuple(self._notes))

    def _next(self, planner: MergePlanner, left: Sequence[str], train: bool) -> tuple[MergePlan, list[Step], dict[str, list[str]]]:
        """The next unit, and by contract what stands in its way: all of a train, or the first that can land."""
        plan = planner.plan(left)
        steps = [step for step in plan.steps if step.contract in left]
        if train:
            return plan, steps, self._missing(planner, plan, steps)
        first: tuple[MergePlan, list[Step], dict[str, list[str]]] | None = None
        for step in steps:
            alone = planner.plan([step.contract])
            unit = [one for one in alone.steps if one.contract == step.contract]
            missing = self._missing(planner, alone, unit)
            if not missing:
                return alone, unit, missing
            first = first or (alone, unit, missing)
        assert first is not None
        return first

    def _missing(self, planner: MergePlanner, plan: MergePlan, unit: Sequence[Step]) -> dict[str, list[str]]:
        """By contract, what stands in the way; what is not proven at the tip is laid at the last."""
        found: dict[str, list[str]] = {}
        inside = {step.contract for step in unit}
        open_ = {step.contract for step in plan.steps if step.status != Status.LANDED}
        for step in unit:
            reasons = []
            waits = [one for one in step.after if one in open_ - inside]
            if waits:
                reasons.append(f"waits for {', '.join(waits)}")
            elif step.conflicts:
                files = sorted({path for one in step.conflicts for path in one.files})
                against = sorted({name for one in step.conflicts for name in one.against})
                reasons.append(f"conflict with {', '.join(against)}: {', '.join(files)}")
            elif step.status != Status.READY:
                reasons.append(step.status)
            if len(unit) > 1 and planner.known(step.contract).perf is not None:
                reasons.append("its budget is its own, and a train has one figure for all: land it by itself")
            stops = ("the declarations of", "required gates are not", CONTROL_PLANE)
            reasons += [note for note in step.notes if note.startswith(stops)]
            reasons += [f"out of scope: {path} ({what})" for path, what in step.scope]
            if reasons:
                found[step.contract] = reasons
        if unit and not found:
            tip = unit[-1]
            issues = [step.contract for step in unit]
            unproven = planner.unproven(tip.tree, issues)
            if unproven and self._prove:
                self._build(planner, plan, tip, unproven)
                unproven = planner.unproven(tip.tree, issues)
            if unproven:
                found[tip.contract] = [f"not proven at {tip.tree[:12]}: {label}" for label in unproven]
            else:
                for step in unit:
                    if reasons := self._budget(planner, plan, tip, step.contract):
                        found[step.contract] = reasons
        return found

    def _budget(self, planner: MergePlanner, plan: MergePlan, tip: Step, issue: str) -> list[str]:
        """Why a contract's budget is not kept at the tree to land, against the base that it lands on; empty where it is."""
        perf = planner.known(issue).perf
        if perf is None:
            return []
        gate = str(Label.of_gate(perf.gate))
        report = self._build(planner, plan, tip, [f"//contracts:{issue}"])
        rows = [row for row in report.gates if row.label == gate]
        if not rows:
            return [f"not proven at {tip.tree[:12]}: {gate}"]
        why = (row.reason.removeprefix(f"for {issue}: ") for row in rows if not row.proven)
        return [f"not proven at {tip.tree[:12]}: {gate}: {one}" for one in why]

    def _build(self, planner: MergePlanner, plan: MergePlan, tip: Step, labels: Sequence[str]) -> BuildReport:
        """Gates at the tree to land; without `prove`, only what is known of them."""
        planner.bring(tip.tree)
        snapshot = Snapshot(self._repository.objects, tip.tree, f"tree {tip.tree[:12]}")
        return self._workspace.build(
            labels, snapshot, keep_going=True, dry_run=not self._prove, onto=plan.base, events=self._events if self._prove else None
        )

    def _row(self, step: Step, commit: str = "", deleted: bool = False, missing: tuple[str, ...] = ()) -> Landed:
        return Landed(step.contract, step.title, commit, step.tree, step.strategy, step.branch, deleted, missing)

    # -- where it lands --------------------------------------------------------------------------------------------------------

    def _base_branch(self) -> str:
        """The full name of the local branch."""
        asked = self._base
        if asked is None:
            declared = self._workspace.base_ref()
            asked = (
                declared.removeprefix("origin/") if declared else self._run(["symbolic-ref", "--short", "-q", "HEAD"], (0, 1))[1]
            )
        name = asked.removeprefix("refs/heads/")
        status, _ = self._run(["show-ref", "--verify", "--quiet", f"refs/heads/{name}"], (0, 1))
        if status:
            raise UsageError(
                f"{printable(name, limit=80) or 'HEAD'} is no local branch to land on", hint="--base BRANCH, as in --base main"
            )
        return f"refs/heads/{name}"

    def _checkouts(self, ref: str) -> list[Path]:
        """The work trees in which a branch is checked out."""
        return [path for path, branch in self._worktrees() if branch == ref]

    def _worktrees(self) -> Iterator[tuple[Path, str]]:
        _, out = self._run(["worktree", "list", "--porcelain", "-z"])
        path = Path()
        for field in out.split("\0"):
            key, _, value = field.partition(" ")
            if key == "worktree":
                path = Path(value)
            elif key == "branch":
                yield path, value

    def _must_be_clean(self, folder: Path) -> None:
        _, out = self._run(["status", "--porcelain", "--untracked-files=no"], where=folder)
        if out:
            raise UsageError(
                f"the base is checked out with changes that are not committed: {printable(out.split()[-1], limit=80)}",
                hint="commit or stash them, then merge again",
            )

    # -- one unit --------------------------------------------------------------------------------------------------------------

    def _land_unit(self, planner: MergePlanner, plan: MergePlan, unit: Sequence[Step], ref: str) -> list[Landed]:
        for step in unit:
            planner.bring(step.tree)
        folders = self._checkouts(ref)
        for folder in folders:
            self._must_be_clean(folder)
            odd = self._odd(folder, plan.base_tree, unit[-1].tree)
            if odd:
                raise UsageError(f"{printable(odd)} is in the way: a file that is not committed", hint="move it, then merge again")
        tip = plan.base
        commits: list[tuple[Step, str]] = []
        for step in unit:
            write_tree(self._repository, step.tree)
            tip = landing_commit(self._repository, step, tip, step.commit)
            commits.append((step, tip))
        # The commit holds what was tested, read back from the repository itself.
        if self._run(["rev-parse", f"{tip}^{{tree}}"])[1] != unit[-1].tree:
            raise SnapshotError("the tree to land is not the tree that was tested; nothing was changed")
        heads: list[tuple[str, str, bool]] = []
        busy = {branch for _, branch in self._worktrees()}
        for step in unit:
            for name in (f"refs/heads/{step.branch}", f"refs/remotes/origin/{step.branch}"):
                if self._run(["show-ref", "--verify", "--quiet", name], (0, 1))[0] == 0:
                    local = name.startswith("refs/heads/")
                    if local and step.delete_branch and name in busy:
                        self._notes.append(f"{printable(step.branch)} is checked out in a work tree, and stays")
                    heads.append((name, step.commit, local and step.delete_branch and name not in busy))
                    break
        lines = ["start", f"update {ref} {tip} {plan.base}"]
        lines += [f"{'delete' if delete else 'verify'} {name} {commit}" for name, commit, delete in heads]
        self._write_journal({"ref": ref, "old": plan.base, "new": tip, "folders": [str(folder) for folder in folders]})
        try:
            self._run(
                ["update-ref", "--stdin"], stdin="\n".join([*lines, "prepare", "commit", ""]).encode("utf-8", "surrogateescape")
            )
        except SnapshotError as error:
            self._journal.unlink(missing_ok=True)
            raise SnapshotError(
                f"a ref moved, or is locked, and nothing was landed: {error.faults[0].what}",
                hint="nmoe-graph plan-merges shows the new state; a *.lock file of a killed git is removed by hand",
            ) from None
        self._finish()
        gone = {name for name, _, delete in heads if delete}
        return [self._row(step, commit, f"refs/heads/{step.branch}" in gone) for step, commit in commits]

    # -- killed, and begun again -----------------------------------------------------------------------------------------------

    def _locked(self) -> AbstractContextManager[None]:
        """One landing at a time on this machine."""
        busy = "another landing is under way in this repository"
        return held(self._repository.state_dir / "locks/landing", "the landing cannot be locked", busy)

    def _write_journal(self, data: dict[str, Any]) -> None:
        scratch = self._journal.with_suffix(".tmp")
        with open(scratch, "w") as handle:
            json.dump(data, handle)
            handle.flush()
            os.fsync(handle.fileno())
        scratch.rename(self._journal)

    def _resume(self) -> None:
        """Finish what a killed run left to do."""
        if self._journal.exists():
            self._finish(resumed=True)

    def _finish(self, resumed: bool = False) -> None:
        """Bring the work trees of the base from the old commit to the new one, if the refs did move; then forget the journal."""
        try:
            data = json.loads(self._journal.read_text())
            ref, old, new, folders = data["ref"], data["old"], data["new"], data["folders"]
        except (OSError, ValueError, KeyError, TypeError):
            self._journal.unlink(missing_ok=True)
            return
        tip = self._repository.resolve(ref)
        landed = tip == new or self._run(["merge-base", "--is-ancestor", new, tip], (0, 1, 128))[0] == 0
        if landed:
            for folder in folders:
                if Path(folder).is_dir() and Path(folder) in self._checkouts(ref):
                    self._bring_up(Path(folder), old, new)
            if resumed:
                self._notes.append(f"finished what an earlier run began: {ref.removeprefix('refs/heads/')} at {new[:12]}")
        elif resumed:
            self._notes.append("an earlier run ended before it landed anything")
        self._journal.unlink(missing_ok=True)

    def _odd(self, folder: Path, old: str, new: str) -> str:
        """A file of a work tree, among those that differ between two trees, that is as in neither; "" where there is none."""
        for path, before, after in self._repository.objects.differences(old, new):
            full = folder / path
            if full.is_file() and not full.is_symlink():
                found = self._run(["hash-object", "--", path], where=folder)[1]
                if found not in (before[1] if before else "", after[1] if after else ""):
                    return path
            elif full.is_dir() and not before and after:
                return path
        return ""

    def _bring_up(self, folder: Path, old: str, new: str) -> None:
        """Move index and files of a work tree that was clean from one commit to the next."""
        trees = [self._repository.objects.commit_fields(one)[0] for one in (old, new)]
        odd = self._odd(folder, *trees)
        if odd:
            raise UsageError(
                f"the base is at {new[:12]} now, and {printable(odd)} in its work tree is neither the old nor the new one",
                hint="save it, bring the work tree up with git reset --hard, and merge again",
            )
        self._run(["reset", "--hard", "--quiet", new], where=folder)
