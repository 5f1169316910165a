"""Answers as plain text.  Columns are aligned; colour only where the stream is a terminal and NO_COLOR is not set."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import counted, printable
from ..plan.control import control_words

if TYPE_CHECKING:
    from ..answers import AffectedReport, AuditReport, BuildReport, GateOutcome, MergeReport, ResultsReport, WhyReport
    from ..attest.report import VerifyReport
    from ..model import Result
    from ..plan.affected import Change
    from ..plan.merge import MergePlan, Step
    from ..plan.probe import Probe

__all__ = [
    "affected_text",
    "audit_text",
    "build_text",
    "columns",
    "embeddable",
    "merge_text",
    "plan_text",
    "probe_text",
    "results_text",
    "safe_lines",
    "show",
    "tell",
    "verify_text",
    "why_text",
]

_COLOURS = {
    "passed": "32",
    "cached": "32",
    "failed": "31",
    "timed_out": "31",
    "not_run": "33",
    "flaky": "33",
    "infra_error": "35",
    "conflict": "31",
}


def coloured(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def short(label: str) -> str:
    """A gate's id, as people write it; other labels as they are."""
    if label.startswith("//gates/"):
        return label[len("//gates/") :]
    return label


def columns(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Rows with every column but the last padded to its widest cell."""
    listed = [[printable(cell) for cell in row] for row in rows]
    if not listed:
        return ""
    widths = [max(len(row[index]) for row in listed if index < len(row)) for index in range(max(map(len, listed)))]
    lines = []
    for row in listed:
        padded = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append((indent + "  ".join([*padded, row[-1]])).rstrip())
    return "\n".join(lines)


def show(text: str, stream: TextIO | None = None) -> None:
    """Print to stdout (data) or another stream; on a terminal, verdict words get their colour."""
    stream = stream or sys.stdout
    if coloured(stream):
        import re

        text = re.sub(r"\b(" + "|".join(_COLOURS) + r")\b", lambda found: f"\x1b[{_COLOURS[found[0]]}m{found[0]}\x1b[0m", text)
    stream.write(text + "\n")


def tell(words: str) -> None:
    """A line for whoever waits, on stderr and at once; nothing in it that must not be public."""
    from ..safe import redact

    sys.stderr.write(f"{printable(redact(words), limit=400)}\n")
    sys.stderr.flush()


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def outcome_row(outcome: GateOutcome) -> list[str]:
    verdict = "cached" if outcome.cached else outcome.verdict.value.replace("_", " ")
    time = _seconds(outcome.duration_s) if outcome.attempts else ""
    reason = outcome.reason or (f"exit 0, sandbox: {outcome.means}" if outcome.means else "")
    return [short(outcome.label), verdict, time, reason]


def audit_text(report: AuditReport) -> str:
    """A row a gate, what survived below it, then the findings."""
    lines = []
    for gate in report.gates:
        head = [short(gate.label), f"{gate.killed} of {gate.runs} damages noticed" if gate.runs else "not audited", gate.reason]
        lines.append(columns([head]))
        lines += [f"    unnoticed: {printable(path)} {printable(what)}" for path, what in gate.survived]
        if gate.idle:
            lines.append(f"    inputs that never mattered: {printable(', '.join(gate.idle))}")
    lines += [f"finding: {short(one.label)} {printable(one.what)}" for one in report.findings]
    audited = sum(bool(gate.runs) for gate in report.gates)
    return "\n".join([*lines, f"{audited} of {len(report.gates)} gates audited, {counted(len(report.findings), 'finding')}"])


def build_text(report: BuildReport) -> str:
    """A row a gate, then one line that sums up."""
    proven = sum(gate.proven for gate in report.gates)
    cached = sum(gate.cached for gate in report.gates)
    ran = sum(gate.attempts > 0 and not gate.cached for gate in report.gates)
    lines = [columns(outcome_row(gate) for gate in report.gates)] if report.gates else []
    lines.append(f"{proven} of {len(report.gates)} proven ({cached} cached, {ran} run)")
    return "\n".join(lines)


def _changes(changes: Iterable[Change], indent: str, most: int = 12) -> list[str]:
    listed = list(changes)
    lines = [indent + printable(change.words()) for change in listed[:most]]
    if len(listed) > most:
        lines.append(f"{indent}... and {len(listed) - most} more")
    return lines


def affected_text(report: AffectedReport) -> str:
    lines = []
    for one in report.targets:
        proven = "" if one.proven is None else "already proven" if one.proven else "not proven"
        note = proven if one.exists else "removed"
        lines.append(columns([[short(one.label), note]]) if note else short(one.label))
        lines += _changes(one.reasons, "    ")
    where = report.at or "the work tree"
    where = where[:12] if where == report.commit else where
    if report.control_plane:
        lines.append(printable(control_words(report.control_plane)))
    lines.append(f"{len(report.targets)} affected between {printable(report.since)} ({report.base[:12]}) and {printable(where)}")
    return "\n".join(lines)


def why_text(report: WhyReport) -> str:
    lines = [f"{short(report.label)}  {report.kind}  {report.action_key[:16]}"]
    if report.is_affected is not None:
        lines.append(f"{'affected' if report.is_affected else 'not affected'} since {printable(report.since)}")
        lines += _changes(report.affected, "    ", 50)
    if report.kind in ("gate", "action") and (report.inputs or report.proof or report.failures or not report.notes):
        if report.proof is not None:
            whose = f", {printable(report.proof.reason)}" if report.proof.reason else ""
            lines.append(f"proven: {_result_words(report.proof)}{whose}")
        else:
            lines.append("not proven")
            for result in report.failures[-3:]:
                lines.append(f"    ran under this key and {result.verdict.value}: {printable(result.reason)}")
            if report.nearest is not None:
                lines.append(f"    the last proof was {_result_words(report.nearest)}; since then:")
                lines += _changes(report.missing, "        ", 50)
                if not report.missing:
                    lines.append("        (its inputs are not on record any more)")
            elif not report.failures:
                lines.append("    it has never run with these inputs, and no earlier proof is stored")
    lines += [f"note: {printable(note)}" for note in report.notes]
    if report.inputs:
        lines.append(f"inputs ({len(report.inputs)}):")
        rows = [
            [item["path"] or ".", item["form"], item["why"] + (f" via {' -> '.join(item['via'])}" if item["via"] else "")]
            for item in report.inputs[:60]
        ]
        lines.append(columns(rows, "    "))
        if len(report.inputs) > 60:
            lines.append(f"    ... and {len(report.inputs) - 60} more")
    return "\n".join(lines)


def _result_words(result: Result) -> str:
    return f"{result.where} on {result.started[:19].replace('T', ' ')} UTC in {_seconds(result.duration_s)}"


def results_text(report: ResultsReport) -> str:
    rows = []
    for result, note in [*((one, "") for one in report.results), *((one, "same key") for one in report.reused)]:
        rows.append(
            [
                short(result.label),
                result.verdict.value,
                f"{result.started[:19]}Z",
                result.commit[:12] if result.commit else "no commit",
                result.action_key[:16],
                ", ".join(filter(None, [note, printable(result.reason)])),
            ]
        )
    return columns(rows) if rows else "no results"


def verify_text(report: VerifyReport) -> str:
    """A row a line of evidence, then what it comes to."""
    rows = [[line.level, (f"{line.at}: " if line.at else "") + line.what] for line in report.shown]
    where = f" at {report.commit[:12]}" if report.commit else ""
    end = f"counts: {', '.join(report.proven)}{where}" if report.counts else "does not count"
    return "\n".join([columns(rows), printable(end)] if rows else [printable(end)])


def plan_text(plan: MergePlan) -> str:
    lines = [f"base {printable(plan.base_ref)} at {plan.base[:12]}"]
    lines += [f"note: {printable(note)}" for note in plan.notes]
    width = max((len(step.contract) for step in plan.steps), default=0)
    for number, step in enumerate(plan.steps, 1):
        lines += _step_lines(number, step, width)
    for number, batch in enumerate(plan.batches, 1):
        gates = f"run {', '.join(short(gate) for gate in batch.gates)}" if batch.gates else "nothing to run"
        chance = f"; passes at once with {batch.chance:.0%}" if batch.gates else ""
        lines.append(f"batch {number}: {', '.join(batch.contracts)} at {batch.tree[:12]}: {gates}{chance}")
    if plan.batches:
        totals = plan.totals
        how = "no plan is cheaper" if totals.exact else f"lower bound {totals.bound:g}, gap {totals.gap:.0%}"
        lines.append(
            f"expected GPU-minutes: {totals.gpu_minutes:g} ({how}); one by one {totals.one_by_one:g}, first come {totals.fifo:g}"
        )
    counts: dict[str, int] = {}
    for step in plan.steps:
        counts[step.status] = counts.get(step.status, 0) + 1
    lines.append(", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no contracts")
    return "\n".join(lines)


def _step_lines(number: int, step: Step, width: int) -> list[str]:
    head = f"{number:>3}. {step.contract.ljust(width)}  {step.status.ljust(9)}  {printable(step.title)}"
    if step.after:
        head += f"  (after {', '.join(step.after)})" if len(step.after) < 6 else f"  (after all {len(step.after)} others)"
    lines = [head]
    pad = " " * (7 + width)
    if step.commit:
        how = f"{step.strategy} {printable(step.branch)} at {step.commit[:12]}"
        lines.append(f"{pad}{how}" + (f", restacked on {step.restacked_on}" if step.restacked_on else ""))
    for conflict in step.conflicts:
        owners = f" (owner: {', '.join(conflict.owners)})" if conflict.owners else ""
        lines.append(
            f"{pad}conflict with {', '.join(conflict.against)}: {', '.join(printable(path) for path in conflict.files)}{owners}"
        )
    for path, others in step.hotspots:
        if others and step.commit:
            lines.append(f"{pad}hotspot {printable(path)} shared with {', '.join(others)}")
    for path, what in step.scope[:8]:
        lines.append(f"{pad}out of scope: {printable(path)} ({printable(what)})")
    lines += [f"{pad}{printable(fault)}" for fault in step.knobs[:8]]
    if step.commit:
        run = [short(gate.label) for gate in step.gates if gate.to_run]
        proven = [short(gate.label) for gate in step.gates if gate.proven]
        if run:
            lines.append(f"{pad}to prove: {', '.join(run)}")
        if proven:
            lines.append(f"{pad}proven: {', '.join(proven)}")
    lines += [f"{pad}note: {printable(note)}" for note in step.notes]
    return lines


def probe_text(probe: Probe) -> str:
    words = {
        "land": "land all of it",
        "test": f"test {', '.join(probe.tested) or 'the base'}",
        "rerun": f"run {', '.join(probe.tested)} once more",
        "eject": f"send {probe.culprit or 'the base'} back",
    }
    lines = [f"{words[probe.what.value]}: {printable(probe.reason)}"]
    if probe.land and probe.what.value != "land":
        lines.append(f"may land now: {', '.join(probe.land)}")
    if probe.rest:
        lines.append(f"back to the pool: {', '.join(probe.rest)}")
    return "\n".join(lines)


def merge_text(report: MergeReport) -> str:
    lines = []
    for row in report.rows:
        if row.missing:
            lines.append(f"{row.contract}  not landed  {printable(row.title)}")
            lines += [f"    {printable(reason)}" for reason in row.missing]
        elif not row.commit and any(other.missing for other in report.rows):
            lines.append(f"{row.contract}  not landed  {printable(row.title)}, with the train")
        elif report.dry_run:
            lines.append(f"{row.contract}  would land  {printable(row.title)} ({row.strategy}), tree {row.tree[:12]}")
        else:
            gone = f"; {printable(row.branch)} deleted" if row.deleted else ""
            lines.append(f"{row.contract}  landed as {row.commit[:12]}  {printable(row.title)} ({row.strategy}{gone})")
    lines += [f"note: {printable(note)}" for note in report.notes]
    name = report.base_ref.removeprefix("refs/heads/")
    lines.append(f"{printable(name)} is at {report.base[:12]}" + ("" if report.rows else ": nothing to land"))
    return "\n".join(lines)


def safe_lines(log: bytes) -> str:
    """A log for a terminal: nothing that must not be public, no control bytes, no workflow commands."""
    from ..excerpt import excerpt

    return excerpt(log)


def json_text(value: Any) -> str:
    import json

    # ASCII: no separator, bidi or control character can reach a terminal raw.
    return json.dumps(value, indent=2, sort_keys=False, ensure_ascii=True).replace("\x7f", "\\u007f")


def embeddable(json_document: str) -> str:
    """The same JSON with no character that could end a script element or begin a tag, wherever it is pasted."""
    return json_document.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
