"""One dispatch and its run: found if it is there, asked for if it is not, followed to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from ..errors import HostError
from ..forge.errors import ForgeError, Trouble
from ..forge.records import Pending, Run, RunJob
from .journal import Journal, Row
from .request import Request

__all__ = ["WORKFLOW", "Follower", "Forge"]

WORKFLOW = "tier-b.yml"
_MOST_RUNS = 1_000
_APPEARS_S = 60.0  # how long GitHub may take to list a run that it was asked for
_EARLIER = timedelta(minutes=10)  # clocks differ


class Forge(Protocol):
    """What is asked of GitHub."""

    def dispatch(self, workflow: str, ref: str, inputs: dict[str, str]) -> int | None: ...

    def runs(self, workflow: str, *, event: str = "", created: str = "", branch: str = "", most: int = 100) -> tuple[Run, ...]: ...

    def run(self, run_id: int) -> Run: ...

    def jobs(self, run_id: int) -> tuple[RunJob, ...]: ...

    def pending(self, run_id: int) -> tuple[Pending, ...]: ...


@dataclass
class Follower:
    """Dispatches at most once, and follows.

    `say` hears what changes, in words; `now` and `sleep` are the clock (UTC, seconds).
    """

    forge: Forge
    journal: Journal
    say: Callable[[str], None] = lambda words: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    every_s: float = 5.0

    # -- dispatched ------------------------------------------------------------------------------------------------------------

    def runs_of(self, stem: str, since: str = "") -> list[Run]:
        """The runs of a piece of work, whoever dispatched them, the first attempt first."""
        found = {}
        for run in self.forge.runs(WORKFLOW, event="workflow_dispatch", created=f">={since}" if since else "", most=_MOST_RUNS):
            attempt = _attempt(run.title, stem)
            if attempt:
                found[attempt, run.id] = run
        return [found[key] for key in sorted(found)]

    def dispatch(self, request: Request, ref: str, *, again: bool = False) -> tuple[Request, Run, bool]:
        """The run of a request: the latest that there is, or a new one; and whether it is new.

        A run that ended is not repeated unless `again` asks for it.

        Raises:
            ForgeError, HostError: GitHub refused, or nobody knows whether it did; then asking again finds out.
        """
        first = request.named(1)
        with self.journal.alone(first.stem):
            runs = self.runs_of(first.stem)
            known = max((_attempt(run.title, first.stem) for run in runs), default=0)
            attempt = known
            while (row := self.journal.read(first.named(attempt + 1).correlation)) is not None:
                attempt += 1  # asked for here, and not in GitHub's list (yet)
                if row.run is not None:
                    known = attempt
            if attempt > known:
                run = self._appears(first.named(attempt))
                if run is not None:
                    return first.named(attempt), run, False
                return self._ask(first.named(attempt), ref)  # it never reached GitHub
            if attempt:
                name = first.named(attempt)
                run = next((one for one in reversed(runs) if _attempt(one.title, first.stem) == attempt), None)
                row = self.journal.read(name.correlation)
                if run is None and row is not None and row.run is not None:
                    run = self.forge.run(row.run)
                if run is not None and not (again and run.status == "completed"):
                    return name, run, False
            return self._ask(first.named(attempt + 1), ref)

    def _ask(self, request: Request, ref: str) -> tuple[Request, Run, bool]:
        asked = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self.journal.write(request.correlation, Row(asked))
        try:
            number = self.forge.dispatch(WORKFLOW, ref, request.to_inputs())
        except ForgeError as error:
            if not error.uncertain:
                raise
            run = self._appears(request)
            if run is None:
                raise
            return request, run, True
        run = self.forge.run(number) if number is not None else self._appears(request)
        if run is None:
            what = f"GitHub took the dispatch {request.correlation} and lists no run of it"
            raise HostError(what, hint="the same command looks for it again, and dispatches nothing twice")
        self.journal.write(request.correlation, Row(asked, run.id))
        return request, run, True

    def _appears(self, request: Request) -> Run | None:
        """The run of a dispatch that may have reached GitHub, once it is listed; None where it never is."""
        row = self.journal.read(request.correlation)
        since = ""
        if row is not None:
            try:
                asked = datetime.strptime(row.asked, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
                since = (asked - _EARLIER).strftime("%Y-%m-%dT%H:%M:%SZ")
            except ValueError:
                pass
        waited = 0.0
        while True:
            attempt = int(request.correlation.rpartition("-")[2])
            found = [run for run in self.runs_of(request.stem, since) if _attempt(run.title, request.stem) == attempt]
            if found:
                if row is not None:
                    self.journal.write(request.correlation, Row(row.asked, found[0].id))
                return found[0]
            if waited >= _APPEARS_S:
                return None
            self.sleep(self.every_s)
            waited += self.every_s

    # -- followed --------------------------------------------------------------------------------------------------------------

    def follow(self, run: Run, *, most_s: float = 0.0) -> Run:
        """Wait for the end of a run, at most `most_s` seconds (0: as long as it takes); the run as it is then.

        Raises:
            HostError: GitHub cannot be asked.
        """
        last: tuple[str, ...] = ()
        waited = 0.0
        while True:
            last = self._tell(run, last)
            if run.status == "completed" or (most_s and waited >= most_s):
                return run
            self.sleep(self.every_s)
            waited += self.every_s
            try:
                run = self.forge.run(run.id)
            except ForgeError as error:
                if error.trouble not in (Trouble.UNREACHABLE, Trouble.SERVER, Trouble.BROKEN):
                    raise
                self.say(f"GitHub does not answer, and the run goes on: {error.faults[0].what}")

    def _tell(self, run: Run, last: tuple[str, ...]) -> tuple[str, ...]:
        """Say what is different from what was said last."""
        lines = [f"run {run.id}: {(run.conclusion or run.status).replace('_', ' ')}"]
        if run.status == "waiting":
            names = [f"{one.environment}{'' if one.can_approve else ' (not by you)'}" for one in self.forge.pending(run.id)]
            lines.append(f"waits for approval of {', '.join(names)}" if names else "waits")
        elif run.status == "in_progress":
            for job in self.forge.jobs(run.id):
                state = job.conclusion or job.status
                lines.append(f"{job.name}: {state.replace('_', ' ')}{f', {job.step}' if job.step and not job.conclusion else ''}")
        for line in lines:
            if line not in last:
                self.say(line)
        return tuple(lines)


def _attempt(title: str, stem: str) -> int:
    """Which attempt of a piece of work a run's title names; 0 for none.  The name is the last word, in brackets."""
    _, bracket, name = title.rpartition("[")
    head, dash, number = name.removesuffix("]").rpartition("-")
    fits = bracket and name.endswith("]") and dash and head == stem and number.isascii() and number.isdigit() and len(number) <= 4
    return int(number) if fits else 0
