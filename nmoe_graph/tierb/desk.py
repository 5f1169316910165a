"""Tier B of one workspace: what the command line and a notebook ask of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ..attest import evidence
from ..attest.evidence import Evidence
from ..attest.making import Signing
from ..attest.states import GateState, states
from ..errors import HostError, NmoeGraphError, UsageError, printable
from ..forge.archive import read_archive
from ..forge.records import Artifact, Pull, Run
from ..forge.where import Where
from ..git.exchange import pull as pull_ledger
from ..git.exchange import push as push_ledger
from ..git.ledger import Ledger
from ..git.program import transport_environment
from ..git.snapshot import Snapshot
from ..markdown import Markdown, block, code, document, link
from ..markdown import table as markdown_table
from ..markup import table
from ..pulls import comments
from ..pulls.commits import PullCommits, bring
from ..safe import redact
from . import follow
from .follow import Follower
from .job import JobReport, check_ancestor, log_name, run_job
from .journal import Journal
from .judge import read_claims, sign_claims
from .request import Request, gates_of, merge_commit, request_from
from .resolve import Resolved, assert_request, control_of, resolve
from .secrets import git_credentials, key_file

__all__ = ["Asked", "Forge", "TierBDesk", "TierBReport"]

_ENVIRONMENT = "b200-gates"
_KIND = "tier-b"
_ARTIFACT = "gate-results"
_EXPECTED = ("request.json", "build.json", "results.jsonl", "logs/*.log")
_MOST_ARTIFACT = 256 << 20
_TAIL = 4_000


class Asked(evidence.Asked, Protocol):
    """What is asked of the workspace."""

    def evidence(self, base: str | None = None) -> Evidence: ...

    def snapshot(self, at: str | None = None) -> Snapshot: ...


class Forge(comments.Forge, follow.Forge, Protocol):
    """What is asked of GitHub."""

    where: Where

    def pull(self, number: int) -> Pull: ...

    def pulls(self, *, state: str = "open", head: str = "", base: str = "") -> tuple[Pull, ...]: ...

    def review(self, run_id: int, environment_ids: Sequence[int], state: str, comment: str) -> None: ...

    def artifacts(self, run_id: int) -> tuple[Artifact, ...]: ...

    def download(self, artifact_id: int, most_bytes: int = 64 << 20) -> bytes: ...

    def job_log(self, job_id: int, most_bytes: int = 64 << 20) -> bytes: ...

    def forget_deployments(self, run_id: int, environment: str, sha: str) -> int: ...


@dataclass(frozen=True)
class TierBReport:
    """A request, its run if there is one, and what is proven of it now."""

    resolved: Resolved
    gates: tuple[GateState, ...]
    run: Run | None = None
    dispatched: bool = False  # by this very call
    notes: tuple[str, ...] = ()
    logs: Mapping[str, str] = field(default_factory=dict)  # the end of what gates printed that are not proven

    @property
    def proven(self) -> bool:
        return bool(self.gates) and all(one.proven for one in self.gates)

    @property
    def exit_code(self) -> int:
        """0 all proven, 1 not, 3 where the run did not come to an end of its own."""
        if self.proven:
            return 0
        return 3 if self.run is not None and self.run.conclusion not in ("success", "failure") else 1

    def to_dict(self) -> dict[str, Any]:
        run = self.run
        return {
            "schema": "nmoe-graph/tier-b@1",
            "request": self.resolved.request.to_inputs(),
            "commit": self.resolved.commit,
            "control_plane": printable(self.resolved.control),
            "gates": [_gate_dict(one) for one in self.gates],
            "run": None
            if run is None
            else {"id": run.id, "status": run.status, "conclusion": run.conclusion, "url": printable(run.url)},
            "dispatched": self.dispatched,
            "proven": self.proven,
            "notes": [printable(redact(one), limit=400) for one in self.notes],
        }

    def markdown(self) -> Markdown:
        """The results for a comment or a check."""
        request, run = self.resolved.request, self.run
        word = "proven" if self.proven else "not proven"
        head = (
            f"**Tier B: {code(request.what)} is {word}** at the merge of `{request.head_sha[:12]}` into `{request.base_sha[:12]}`"
        )
        rows = []
        for one in self.gates:
            metrics = ", ".join(f"{name} p50 {value:g}" for name, value in one.metrics)
            time = f"{one.duration_s / 60:.1f} min" if one.duration_s else ""
            rows.append([one.gate, "proven" if one.proven else "not proven", time, metrics, one.by])
        parts = [head, markdown_table(["gate", "", "time", "samples", "by whom, or why not"], rows)]
        parts += [f"- {code(one)}" for one in self.notes]
        if self.resolved.control:
            parts.append(f"{code(self.resolved.control)}: judged by the rules of the base.")
        for gate, log in sorted(self.logs.items()):
            parts.append(f"<details><summary>{code(gate)}: the end of its log</summary>\n{block(log)}\n</details>")
        if run is not None:
            parts.append(link(f"run {run.id}", run.url))
        return document(parts)

    def _repr_html_(self) -> str:
        rows = [[one.gate, "proven" if one.proven else "not proven", one.by] for one in self.gates]
        return table(["gate", "", "by whom, or why not"], rows, f"tier b of pull request {self.resolved.request.pr_number}")


def _gate_dict(one: GateState) -> dict[str, Any]:
    return {
        "gate": one.gate,
        "tier": one.tier,
        "proven": one.proven,
        "by": printable(redact(one.by), limit=400),
        "duration_s": one.duration_s,
        "metrics": dict(one.metrics),
        "action_key": one.key,
    }


class TierBDesk:
    """`github` makes the forge when it is first needed; `remote` is where commits and the ledger are fetched from."""

    def __init__(
        self,
        workspace: Asked,
        github: Callable[[], Forge],
        remote: str = "origin",
        say: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._workspace, self._repository, self._remote = workspace, workspace.repository, remote
        self._github, self._say = github, say
        self._journal = Journal(self._repository.state_dir / "tier-b")
        #: How a run is followed; tests give it another clock.
        self.follower: Callable[[Forge], Follower] = lambda forge: Follower(forge, self._journal, self._say)

    # -- asked for -------------------------------------------------------------------------------------------------------------

    def resolve(self, number: int, bundle: str = "", gate: str = "") -> tuple[Forge, PullCommits, Resolved]:
        """What proving a bundle or a gate for a pull request comes to, and what of it is proven already.

        Raises:
            UsageError: it names no contract of its base, or the base has no such bundle or gate.
            SnapshotError: it moved while it was read, or conflicts with its base.
            HostError: GitHub or the remote cannot be asked.
        """
        forge = self._github()
        pull = forge.pull(number)
        if pull.state != "open":
            raise UsageError(f"pull request {number} is {'merged' if pull.merged else pull.state}")
        commits = bring(self._repository, self._remote, pull)
        self._take_in()
        resolved = resolve(self._workspace, self._workspace.evidence(commits.base), pull, commits, bundle, gate)
        return forge, commits, resolved

    def _take_in(self) -> list[str]:
        """What others proved; a ledger that cannot be read is no reason not to ask."""
        try:
            found = pull_ledger(self._repository, self._remote)
        except HostError as error:
            return [f"the ledger was not pulled: {error.faults[0].what}"]
        return list(found.rewritten)

    def run(
        self,
        number: int,
        bundle: str = "",
        gate: str = "",
        *,
        rerun: bool = False,
        wait: bool = True,
        dry_run: bool = False,
        most_s: float = 0.0,
        every_s: float = 5.0,
    ) -> TierBReport:
        """Prove a bundle or a gate on the runners: what is proven is not dispatched, what was dispatched is picked up.

        Args:
            rerun: dispatch again what ended and is not proven.
            wait: follow the run to its end, at most `most_s` seconds (0: as long as it takes), and bring its proofs home.
            every_s: how many seconds lie between two looks at the run.

        Raises:
            UsageError, SnapshotError, HostError: see `resolve`; what was dispatched goes on.
        """
        forge, commits, resolved = self.resolve(number, bundle, gate)
        if resolved.gates and all(one.proven for one in resolved.gates):
            return TierBReport(resolved, resolved.gates, notes=("all of it is proven already: nothing was dispatched",))
        self._tell(resolved)
        if dry_run:
            return TierBReport(resolved, resolved.gates, notes=("nothing was dispatched",))
        follower = self.follower(forge)
        follower.every_s = every_s
        request, run, fresh = follower.dispatch(resolved.request, commits.base_branch, again=rerun)
        resolved = replace(resolved, request=request)
        self._say(f"{'dispatched' if fresh else 'found'} {request.correlation}: {run.url}")
        if wait:
            run = follower.follow(run, most_s=most_s)
        return self._home(forge, resolved, run, fresh)

    def _tell(self, resolved: Resolved) -> None:
        """What whoever approves should know."""
        request = resolved.request
        self._say(f"pull request {request.pr_number}, contract {request.contract}: {request.what}")
        self._say(f"head {request.head_sha}  base {request.base_sha}  merged tree {request.merged_tree}")
        for one in resolved.gates:
            self._say(f"{one.gate}: {'proven already, ' + one.by if one.proven else 'to prove'}")
        if resolved.control:
            self._say(f"{resolved.control}: judged by the rules of the base")

    def _home(self, forge: Forge, resolved: Resolved, run: Run, fresh: bool) -> TierBReport:
        """The proofs of a run, taken in and judged here."""
        request = resolved.request
        notes: list[str] = []
        logs: dict[str, str] = {}
        if run.status == "completed":
            notes += self._take_in()
        judge = self._workspace.evidence(request.base_sha)
        found = states(judge, gates_of(judge, request), resolved.contract, resolved.commit)
        if run.status != "completed":
            notes.append("the run goes on; the same command picks it up")
        elif not all(one.proven for one in found):
            logs = self._logs(forge, run, [one.gate for one in found if not one.proven], notes)
            if not fresh:
                notes.append("this run had ended before; --rerun dispatches the work again")
        report = TierBReport(resolved, found, run, fresh, tuple(notes), logs)
        return self._post(forge, report, others=(comments.ACTIONS,)) if run.status == "completed" else report

    def _logs(self, forge: Forge, run: Run, gates: Sequence[str], notes: list[str]) -> dict[str, str]:
        """The ends of the logs that a run left of gates; where it left none, of its jobs that failed."""
        try:
            named = [one for one in forge.artifacts(run.id) if one.name == _ARTIFACT and not one.expired]
            if not named:
                failed = [one for one in forge.jobs(run.id) if one.conclusion == "failure"]
                ends = {f"job {one.name}": forge.job_log(one.id, _MOST_ARTIFACT)[-_TAIL:] for one in failed}
                return {name: log.decode("utf-8", "replace") for name, log in ends.items() if log}
            files = read_archive(forge.download(named[0].id, _MOST_ARTIFACT), _EXPECTED, most_bytes=_MOST_ARTIFACT)
        except HostError as error:
            notes.append(f"its logs could not be read: {error.faults[0].what}")
            return {}
        found = {}
        for gate in gates:
            log = files.get(f"logs/{log_name(gate)}")
            if log:
                found[gate] = log[-_TAIL:].decode("utf-8", "replace")
        return found

    def _post(self, forge: Forge, report: TierBReport, others: tuple[str, ...] = ()) -> TierBReport:
        """Say what came of a request, once: whoever has said it already, here or on GitHub's machine, is not repeated."""
        request = report.resolved.request
        text = report.markdown()
        comments.say_comment(forge, request.pr_number, _KIND, request.stem, text, others=others)
        title = f"{request.what}: {'proven' if report.proven else 'not proven'}"
        name = f"nmoe-graph / tier-b {request.what}"
        key = f"{_KIND} {request.stem} {request.head_sha}"
        why = comments.try_check(forge, name, request.head_sha, key, passed=report.proven, title=title, summary=text)
        return replace(report, notes=(*report.notes, why)) if why else report

    # -- approved --------------------------------------------------------------------------------------------------------------

    def approve(
        self, number: int, bundle: str = "", gate: str = "", *, reject: bool = False, comment: str = "", sure: Callable[[], bool]
    ) -> TierBReport:
        """Approve, or reject, the run of a request, if it is still what the pull request asks for.

        `sure` is asked once everything was said that an approver should know.

        Raises:
            UsageError: no run of it waits, the token may not approve, or whoever was asked is not sure.
            SnapshotError, HostError: see `resolve`.
        """
        forge, _, resolved = self.resolve(number, bundle, gate)
        runs = [run for run in self.follower(forge).runs_of(resolved.request.stem) if run.status == "waiting"]
        if not runs:
            what = f"no run of {resolved.request.what} waits for the present head and base of pull request {number}"
            raise UsageError(what, hint="a run that was dispatched for an earlier head or base is not approved from here")
        run = runs[-1]
        pending = [one for one in forge.pending(run.id) if one.environment == _ENVIRONMENT]
        if not pending:
            raise UsageError(f"run {run.id} waits, and not for {_ENVIRONMENT}")
        if not all(one.can_approve for one in pending):
            raise UsageError(f"you may not approve {_ENVIRONMENT}", hint="a required reviewer of the environment may")
        self._tell(resolved)
        if not sure():
            raise UsageError("nothing was approved")
        words = comment or f"{resolved.request.what} at {resolved.request.head_sha[:12]}"
        forge.review(run.id, [one.environment_id for one in pending], "rejected" if reject else "approved", words)
        note = f"run {run.id} {'rejected' if reject else 'approved'}"
        return TierBReport(resolved, resolved.gates, forge.run(run.id), notes=(note,))

    # -- on the runner, and after it -------------------------------------------------------------------------------------------

    def job(self, dispatch: str, *, gate_user: str = "", out: Path, engine: str = "") -> JobReport:
        """Carry out a dispatch on this machine.  `engine` is the commit whose engine this is; the base must be an ancestor of it.

        Raises:
            UsageError, SnapshotError: what was approved is not what is here; nothing was run.
            HostError: this machine cannot run it.
        """
        request = _read_dispatch(dispatch)
        if engine:
            check_ancestor(self._workspace, request.base_sha, engine)
        for note in self._take_in():
            self._say(note)
        return run_job(self._workspace, self._workspace.evidence(request.base_sha), request, gate_user=gate_user, out=out)

    def report(
        self, dispatch: str, folder: Path, *, proved: str = "", key: str = "", token: str = "", engine: str = "", run_id: int = 0
    ) -> TierBReport:
        """Judge what the runner handed on, sign what stands, share it, and say so on the pull request.

        Args:
            proved: how the first job ended, in GitHub's words.
            key: the text of the key that signs; "" signs nothing.
            token: with which the ledger is pushed over https; "" leaves that to git's own means.

        Raises:
            UsageError, SnapshotError: the dispatch is not what is here.
            HostError: GitHub or the remote refuse.
        """
        request = _read_dispatch(dispatch)
        if engine:
            check_ancestor(self._workspace, request.base_sha, engine)
        forge = self._github()
        with git_credentials(token):
            self._fetch(request)
            notes = self._take_in()
            judge = self._workspace.evidence(request.base_sha)
            contract = assert_request(self._workspace, judge, request)
            commit = merge_commit(self._repository, request.base_sha, request.head_sha, request.merged_tree)
            gates = gates_of(judge, request)
            claims, odd = read_claims(judge, request, commit, gates, folder)
            notes += odd
            if proved not in ("", "success"):
                notes.append(f"the job on the runner ended as {printable(proved, limit=40)}")
            notes += [f"{one.gate}: not signed: {'; '.join(one.doubts[:3])}" for one in claims if one.doubts]
            if key:
                with key_file(key) as path:
                    Ledger(self._repository).add(sign_claims(self._workspace, claims, Signing(str(path))))
                push_ledger(self._repository, self._remote)
            else:
                notes.append("there is no key to sign with, so nothing of it can count elsewhere")
        judge = self._workspace.evidence(request.base_sha)  # with what was signed just now
        found = _with_failures(states(judge, gates, contract, commit), [(one.gate, one.verdict, one.reason) for one in claims])
        resolved = Resolved(request, contract, commit, found, control_of(self._workspace, judge, request.head_sha))
        logs = {one.gate: _tail(folder / "logs" / log_name(one.gate)) for one in found if not one.proven}
        report = TierBReport(resolved, found, None, False, tuple(notes), {gate: log for gate, log in logs.items() if log})
        report = self._post(forge, report)
        if run_id:
            forge.forget_deployments(run_id, _ENVIRONMENT, engine)
        return report

    def _fetch(self, request: Request) -> None:
        """The two commits of a request, by their ids.

        Raises:
            HostError: the remote does not give them.
        """
        from ..git.program import run_git

        missing = [one for one in (request.head_sha, request.base_sha) if not self._repository.objects.is_commit(one)]
        if not missing:
            return
        if not self._repository.git:
            raise HostError("commits are fetched by the git program, which is not here", hint="install git")
        args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--", self._remote, *missing]
        try:
            run_git(self._repository.git, self._repository.root, args, env=transport_environment())
        except NmoeGraphError as error:
            names = ", ".join(one[:12] for one in missing)
            raise HostError(f"{self._remote} does not give {names}: {error.faults[0].what}") from None


def _read_dispatch(text: str) -> Request:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("the dispatch is no JSON", hint="DISPATCH holds the inputs of the workflow as one JSON object") from None
    return request_from(said)


def _with_failures(found: Sequence[GateState], claims: Sequence[tuple[str, str, str]]) -> tuple[GateState, ...]:
    """Of a gate that is not proven, what the run said of it."""
    said = {gate: f"{verdict.replace('_', ' ')}{': ' + reason if reason else ''}" for gate, verdict, reason in claims}
    return tuple(one if one.proven or one.gate not in said else replace(one, by=f"{said[one.gate]}; {one.by}") for one in found)


def _tail(path: Path) -> str:
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with open(path, "rb") as handle:
            handle.seek(max(0, path.stat().st_size - _TAIL))
            return handle.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
