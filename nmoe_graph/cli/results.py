"""nmoe-graph results"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..errors import UsageError, counted, printable
from ..git.refs import has_ledger
from ..report.console import json_text, results_text, show
from ..safe import redact
from ..workspace import Workspace
from .keeping import run_gc, run_verify
from .verify import read_file

if TYPE_CHECKING:
    from ..attest.making import Signing
    from ..git.exchange import Exchange


def run(options: argparse.Namespace) -> int:
    words = list(options.words)
    verb = _VERBS.get(words[0]) if words else None
    if verb is not None:
        return verb(options, words[1:])
    if len(words) > 1:
        raise UsageError(f"results takes one label or commit, not {len(words)}", hint=f"verbs: {', '.join(_VERBS)}")
    workspace = Workspace.open(options.directory)
    report = workspace.results(words[0] if words else None, options.at)
    show(json_text(report.to_dict()) if options.format == "json" else results_text(report))
    for damage in workspace.store.damage():
        sys.stderr.write(f"warning: {printable(damage)}\n")
    if not words and options.format == "text" and (held := _stated(workspace)):
        sys.stderr.write(
            f"note: the ledger holds {counted(held, 'signed statement')}; build, why and verify take those that count\n"
        )
    return 0


def _stated(workspace: Workspace) -> int:
    """How many signed statements the ledger of this clone holds, whether they count or not."""
    if not has_ledger(workspace.repository.common_dir):
        return 0
    from ..git.ledger import Ledger

    return sum(path.startswith("results/") for path in Ledger(workspace.repository).here().files)


def _signing(options: argparse.Namespace) -> Signing | None:
    """How to sign, if anything asks for it."""
    from ..attest.making import KEY_VARIABLE, Signing

    wanted = options.key or options.form or options.backend or os.environ.get(KEY_VARIABLE)
    return Signing.chosen(options.key, options.form, options.backend) if wanted else None


def _say_unstated(refused: list[str]) -> None:
    for reason in refused[:50]:
        sys.stderr.write(f"note: not stated: {printable(redact(reason), limit=300)}\n")


def _export(options: argparse.Namespace, words: list[str]) -> int:
    """One signed file, or bare statement, a line."""
    made, refused = Workspace.open(options.directory).export_results(
        _one(words, "export"),
        signing=_signing(options),
        namespace=options.namespace,
        contract=options.contract,
        base=options.base,
    )
    _say_unstated(refused)
    sys.stdout.buffer.write(b"".join(made))  # as they are, whatever the terminal can say
    sys.stdout.buffer.flush()
    sys.stderr.write(f"{counted(len(made), 'statement')}\n")
    return 0 if made else 1


def _import(options: argparse.Namespace, words: list[str]) -> int:
    if not words:
        raise UsageError("results import needs a FILE", hint="- is stdin")
    listed = [row for path in words for row in _lines(path)]
    fresh = Workspace.open(options.directory).import_results(listed)
    document = {"schema": "nmoe-graph/import@1", "read": len(listed), "new": fresh}
    show(json_text(document) if options.format == "json" else f"{fresh} new of {counted(len(listed), 'signed statement')}")
    return 0


def _lines(path: str) -> Iterator[tuple[str, bytes]]:
    """The documents of a file: one, or one a line."""
    data = read_file(path)
    rows = [row for row in data.split(b"\n") if row.strip()]
    if not all(row.startswith(b"{") and row.rstrip().endswith(b"}") for row in rows):
        rows = [data]  # one document over many lines
    for number, row in enumerate(rows, 1):
        yield (path if len(rows) == 1 else f"{path}:{number}"), row


def _push(options: argparse.Namespace, words: list[str]) -> int:
    """Sign what is stored, if there is a key to sign with, and give the ledger to a remote."""
    workspace = Workspace.open(options.directory)
    signing = _signing(options)
    if signing is not None:
        _, refused = workspace.state_results(signing, namespace=options.namespace, contract=options.contract, base=options.base)
        _say_unstated(refused)
    _say_exchange(options, workspace.push_results(_one(words, "push") or "origin"))
    return 0  # what was taken back is given again


def _pull(options: argparse.Namespace, words: list[str]) -> int:
    exchange = Workspace.open(options.directory).pull_results(_one(words, "pull") or "origin")
    _say_exchange(options, exchange)
    return 1 if exchange.rewritten else 0


def _say_exchange(options: argparse.Namespace, exchange: Exchange) -> None:
    remote = redact(printable(exchange.remote, limit=100))
    rewritten = [redact(printable(one, limit=300)) for one in exchange.rewritten]
    if options.format == "json":
        document = {
            "schema": "nmoe-graph/exchange@1",
            "remote": remote,
            "received": exchange.received,
            "sent": exchange.sent,
            "rewritten": rewritten,
        }
        show(json_text(document))
    else:
        show(f"{exchange.received} received, {exchange.sent} sent")
    for one in rewritten[:50]:
        sys.stderr.write(f"warning: {one}\n")
    if rewritten:
        sys.stderr.write("hint: only additions count, so what was taken back is kept here; results push gives it again\n")


def _one(words: list[str], verb: str) -> str | None:
    if len(words) > 1:
        raise UsageError(f"results {verb} takes one word, not {len(words)}")
    return words[0] if words else None


_VERBS: dict[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "gc": run_gc,
    "verify": run_verify,
    "export": _export,
    "import": _import,
    "push": _push,
    "pull": _pull,
}
