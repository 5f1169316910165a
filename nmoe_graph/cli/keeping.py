"""nmoe-graph results gc, results verify"""

from __future__ import annotations

import argparse
import re
import sys

from ..errors import UsageError, counted, printable
from ..report.console import columns, json_text, short, show
from ..workspace import Workspace

_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MOST_SHOWN = 200


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15})([KMGT]?)(?:i?B)?", text.strip(), re.ASCII | re.IGNORECASE)
    if found is None:
        raise UsageError(f"--max-size {printable(text, limit=40)} is no size", hint="such as 500M or 20G")
    return int(found[1]) * _SIZES[found[2].upper()]


def _age(text: str) -> float:
    found = re.fullmatch(r"(\d{1,9})([smhdw])", text.strip(), re.ASCII)
    if found is None:
        raise UsageError(f"--max-age {printable(text, limit=40)} is no age", hint="such as 12h or 30d")
    return float(int(found[1]) * _AGES[found[2]])


def shown_size(size: int) -> str:
    value, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def run_gc(options: argparse.Namespace, words: list[str]) -> int:
    if words:
        raise UsageError("results gc takes no labels", hint="--max-size SIZE, --max-age AGE")
    if options.max_size is None and options.max_age is None:
        raise UsageError("results gc needs --max-size or --max-age", hint="results gc --max-age 30d --max-size 20G")
    done = Workspace.open(options.directory).clean_results(
        most_bytes=None if options.max_size is None else _size(options.max_size),
        most_age_s=None if options.max_age is None else _age(options.max_age),
    )
    if options.format == "json":
        document = {
            "schema": "nmoe-graph/results-gc@1",
            "removed": [
                {
                    "label": one.label,
                    "verdict": one.verdict.value,
                    "action_key": one.action_key,
                    "commit": one.commit,
                    "started": one.started,
                    "bytes": size,
                }
                for one, size in done.removed
            ],
            "blobs": done.blobs,
            "freed": done.freed,
            "left": done.left,
            "in_use": done.in_use,
            "unlocked": done.unlocked,
            "refused": [{"path": one.path, "why": one.what} for one in done.refused],
        }
        show(json_text(document))
    else:
        rows = [
            [short(one.label), one.verdict.value, one.started[:16], shown_size(size)] for one, size in done.removed[:_MOST_SHOWN]
        ]
        if rows:
            show(columns(rows))
        if len(done.removed) > _MOST_SHOWN:
            show(f"... and {len(done.removed) - _MOST_SHOWN} more")
        sizes = f"{shown_size(done.freed)} freed, {shown_size(done.left)} left"
        show(f"{counted(len(done.removed), 'result')} and {counted(done.blobs, 'blob')} removed, {sizes}")
    if done.in_use:
        sys.stderr.write("note: a build is running, so nothing that it may need was removed; run it again later\n")
    if done.unlocked:
        sys.stderr.write("note: locks cannot be had here, so nothing was removed that a build may need\n")
    for one in done.refused[:20]:
        sys.stderr.write(f"warning: {printable(one.path)} could not be removed: {one.what}\n")
    if len(done.refused) > 20:
        sys.stderr.write(f"warning: and {len(done.refused) - 20} more could not be removed\n")
    return 3 if done.refused else 0


def run_verify(options: argparse.Namespace, words: list[str]) -> int:
    if words:
        raise UsageError("results verify takes no labels: it looks at the whole store", hint="verify FILE judges a statement")
    workspace = Workspace.open(options.directory)
    found = workspace.inspect_results()
    if options.format == "json":
        document = {
            "schema": "nmoe-graph/results-verify@1",
            "results": found.results,
            "blobs": found.blobs,
            "bytes": found.size,
            "damaged": [{"path": one.path, "what": one.what} for one in found.damaged],
            "incomplete": [{"path": one.path, "what": one.what} for one in found.incomplete],
        }
        show(json_text(document))
        return found.exit_code
    for one in (*found.damaged, *found.incomplete)[:_MOST_SHOWN]:
        show(f"{printable(one.path)}: {one.what}")
    show(
        f"{counted(found.results, 'result')} and {counted(found.blobs, 'blob')} are whole ({shown_size(found.size)}); "
        f"{len(found.damaged)} damaged{' and put aside' if found.all_aside else ''}, {len(found.incomplete)} incomplete"
    )
    aside = len(list((workspace.store.root / "quarantine").glob("*"))) - len(found.damaged)
    if aside > 0:
        sys.stderr.write(
            f"note: damaged and put aside earlier: {aside}, in {printable(str(workspace.store.root / 'quarantine'))}\n"
        )
    return found.exit_code
