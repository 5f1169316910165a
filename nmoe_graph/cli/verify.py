"""nmoe-graph verify"""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime

from ..attest.report import VerifyReport
from ..errors import UsageError
from ..report.console import json_text, show, verify_text
from . import streams

_MOST_BYTES = 4 * 1024 * 1024


def read_file(path: str) -> bytes:
    return streams.read_file(path, _MOST_BYTES)


def run(options: argparse.Namespace) -> int:
    report = _outside(options) if options.keys or options.allowed_signers else _inside(options)
    show(json_text(report.to_dict()) if options.format == "json" else verify_text(report))
    return report.exit_code


def _outside(options: argparse.Namespace) -> VerifyReport:
    from ..attest.outside import verify_outside
    from ..load.contract import load_contract
    from ..load.gates import load_gates
    from ..statement.keys import read_public_keys
    from ..statement.policy import Ring
    from ..statement.signers import Signer, read_signers
    from ..statement.sshsig import NAMESPACE

    if options.base:
        raise UsageError("--base belongs to a repository, and --keys and --allowed-signers do without one")
    if options.commit is not None and not re.fullmatch(r"[0-9a-f]{40}", options.commit):
        raise UsageError("--commit is no whole commit: 40 hex digits are due where no repository is asked")
    signers: list[Signer] = []
    for path in options.keys:
        signers += Ring.of_keys(read_public_keys(read_file(path), path)).signers
    if options.allowed_signers:
        signers += read_signers(read_file(options.allowed_signers), options.allowed_signers)
    ring = Ring(tuple(signers), (), options.principal or "", options.namespace or NAMESPACE)
    gates = load_gates(read_file(options.gates), options.gates) if options.gates else None
    contract = load_contract(read_file(options.contract), options.contract, gates) if options.contract else None
    return verify_outside(
        read_file(options.file),
        options.file,
        ring,
        datetime.now(UTC),
        commit=options.commit,
        gates=gates.by_id() if gates else None,
        contract=contract,
    )


def _inside(options: argparse.Namespace) -> VerifyReport:
    from ..workspace import Workspace

    if options.principal or options.namespace or options.gates:
        raise UsageError(
            "--principal, --namespace and --gates say what to trust where there is no repository",
            hint="with --keys or --allowed-signers; in a repository the base commit says it",
        )
    workspace = Workspace.open(options.directory)
    return workspace.verify(
        read_file(options.file), options.file, commit=options.commit, base=options.base, contract=options.contract
    )
