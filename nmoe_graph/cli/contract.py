"""nmoe-graph contract new | check | sync | worktree | status"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from ..contracts.desk import ContractDesk
from ..contracts.draft import Draft
from ..errors import UsageError, did_you_mean, printable, render_faults
from ..report.console import json_text, show, tell
from ..report.contracts import check_text, status_text, sync_text
from ..workspace import Workspace
from .streams import can_ask

_CHOICES = {
    "kind": ("feature", "bugfix", "perf", "refactor", "docs"),
    "risk": ("hot", "warm", "cold"),
    "complexity": ("S", "M", "L"),
}


def run(options: argparse.Namespace) -> int:
    verb: Callable[[ContractDesk, argparse.Namespace], int] = {
        "new": _new,
        "check": _check,
        "sync": _sync,
        "worktree": _worktree,
        "status": _status,
    }[options.action]
    workspace = Workspace.open(options.directory)
    workspace.say = tell
    remote, repository = getattr(options, "remote", "origin"), getattr(options, "repository", None)
    return verb(workspace.contracts(remote, repository), options)


def _words(values: list[str]) -> tuple[str, ...]:
    """Flags that may be given more than once, or once with commas."""
    return tuple(dict.fromkeys(word.strip() for value in values for word in value.split(",") if word.strip()))


def _new(desk: ContractDesk, options: argparse.Namespace) -> int:
    said = {name: getattr(options, name) or "" for name in ("id", "slug", "kind", "risk", "complexity", "title")}
    allow, gates = _words(options.allow), _words(options.gate)
    if can_ask():
        said["id"] = said["id"] or _ask("id", desk.free_id())
        said["slug"] = said["slug"] or _ask("slug, such as global-attention")
        for name, choices in _CHOICES.items():
            said[name] = said[name] or _ask(f"{name} ({', '.join(choices)})", choices[0], choices)
        said["title"] = said["title"] or _ask("title", said["slug"].replace("-", " "))
        allow = allow or _words([_ask("files that may change (globs, with commas)")])
        gates = gates or _words([_ask("gates that must pass (ids, with commas)", ",".join(desk.gates_of_tier_a()))])
    required = {"--id": said["id"], "--slug": said["slug"], "--kind": said["kind"], "--risk": said["risk"]}
    required |= {"--complexity": said["complexity"], "--allow": allow, "--gate": gates}
    if missing := [flag for flag, value in required.items() if not value]:
        raise UsageError(f"a contract needs {', '.join(missing)}", hint="on a terminal it asks for them")
    draft = Draft(
        issue=said["id"],
        slug=said["slug"],
        kind=said["kind"],
        risk=said["risk"],
        complexity=said["complexity"],
        title=said["title"],
        depends_on=_words(options.depends_on),
        merge_hotspots=_words(options.hotspot),
        allow=allow,
        deny=_words(options.deny),
        invariants=tuple(options.invariant),
        knobs_add=_words(options.knob_add),
        knobs_change=_words(options.knob_change),
        required=gates,
        perf=_perf(options),
        strategy=options.strategy,
        delete_branch=not options.keep_branch,
    )
    report = desk.new(draft, issue=options.issue, dry_run=options.dry_run)
    if options.format == "json":
        show(json_text(report.to_dict()))
    elif options.dry_run:
        sys.stdout.write(report.text)
    else:
        show(report.path + (f"\n{report.url}" if report.url else ""))
    return report.exit_code


def _perf(options: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    rows = (
        ("gate", options.perf_gate),
        ("metric", options.perf_metric),
        ("baseline_ref", options.baseline_ref),
        ("budget_pct", options.budget_pct),
    )
    given = [(key, value) for key, value in rows if value is not None]
    if given and len(given) < len(rows):
        raise UsageError("a perf budget needs all of --perf-gate, --perf-metric, --baseline-ref and --budget-pct")
    return tuple(given)


def _ask(what: str, default: str = "", choices: tuple[str, ...] = ()) -> str:
    for _ in range(5):
        sys.stderr.write(f"{what}{f' [{default}]' if default else ''}: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise UsageError("the answers ended too early")
        word = line.strip() or default
        if word and (not choices or word in choices):
            return word
        wanted = f"one of {', '.join(choices)}" if word and choices else "an answer is needed"
        sys.stderr.write(f"{did_you_mean(word, choices) or wanted}\n")
    raise UsageError(f"no usable answer for {what}")


def _check(desk: ContractDesk, options: argparse.Namespace) -> int:
    report = desk.check(options.paths)
    if options.format == "json":
        show(json_text(report.to_dict()))
    else:
        if report.faults:
            sys.stderr.write(render_faults(report.faults) + "\n")
        show(check_text(report))
    return report.exit_code


def _sync(desk: ContractDesk, options: argparse.Namespace) -> int:
    if options.fetch and (options.push or options.dry_run):
        raise UsageError("--fetch takes what another clone pushed, and goes with neither --push nor --dry-run")
    if options.fetch:
        commit = desk.fetch(options.remote)
        show(f"contracts of the issues at {commit[:12]}" if commit else f"{printable(options.remote)} holds none")
        return 0
    report = desk.sync(base=options.base, dry_run=options.dry_run)
    pushed = desk.push(options.remote) if options.push else False
    if options.format == "json":
        show(json_text(report.to_dict() | {"pushed": pushed}))
    else:
        show(sync_text(report))
        if report.refused:
            sys.stderr.write(render_faults(report.refused) + "\n")
    return report.exit_code


def _worktree(desk: ContractDesk, options: argparse.Namespace) -> int:
    report = desk.worktree(options.contract, base=options.base, folder=options.path)
    show(json_text(report.to_dict()) if options.format == "json" else report.folder)
    return report.exit_code


def _status(desk: ContractDesk, options: argparse.Namespace) -> int:
    report = desk.status(options.contracts, base=options.base, offline=options.offline)
    show(json_text(report.to_dict()) if options.format == "json" else status_text(report))
    if options.format == "text":
        for note in report.notes:
            sys.stderr.write(f"note: {printable(note, limit=400)}\n")
    return report.exit_code
