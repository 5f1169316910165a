"""nmoe-graph safe"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module

from ..errors import HostError, UsageError, printable
from ..report.console import json_text, show
from ..safe import Finding, findings
from .streams import read_file

_MOST_BYTES = 64 * 1024 * 1024
_MOST_SHOWN = 10_000
_Ask = Callable[[str], list[tuple[int, str, str]]]


def run(options: argparse.Namespace) -> int:
    allow = (*_declared(options.directory), *options.allow)
    more = _detect_secrets() if options.second_opinion else None
    found: list[tuple[str, Finding]] = []
    skipped: list[str] = []
    for path in _files(list(options.paths) or ["-"]):
        data = read_bytes(path)
        if b"\0" in data[:8192]:
            skipped.append(path)
            continue
        text = data.decode("utf-8", "replace")
        here = list(findings(text, allow))
        if more is not None:
            here += _second(more, text, here)
        found += [(path, one) for one in sorted(here, key=lambda one: (one.line, one.column))]
    if options.format == "json":
        rows = [{"file": path, **one.to_dict()} for path, one in found[:_MOST_SHOWN]]
        show(json_text({"schema": "nmoe-graph/safe@1", "count": len(found), "findings": rows, "binary": skipped}))
    else:
        for path, one in found[:_MOST_SHOWN]:
            sys.stdout.write(f"{printable(path)}:{one.line}:{one.column}: {printable(one.words())}\n")
    for path in skipped[:50]:
        sys.stderr.write(f"note: {printable(path)} is binary and was not looked at\n")
    return 1 if found else 0


def read_bytes(path: str) -> bytes:
    """A file, or stdin for `-`.

    Raises:
        UsageError: it cannot be read, or is too large to be looked at whole.
    """
    data = read_file(path, _MOST_BYTES)
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{printable(path, limit=200)} is too large: the limit is {_MOST_BYTES} bytes")
    return data


def _files(paths: list[str]) -> Iterator[str]:
    """Every file of the paths; of a folder all but git's own, no link followed."""
    for path in paths:
        if path == "-" or not os.path.isdir(path):
            yield path
            continue
        for folder, below, names in os.walk(path):
            below[:] = sorted(name for name in below if name != ".git")
            for name in sorted(names):
                whole = os.path.join(folder, name)
                if name != ".git" and os.path.isfile(whole) and not os.path.islink(whole):
                    yield whole


def _declared(directory: str) -> tuple[str, ...]:
    """`[public] allow` of the workspace that we stand in, if we stand in one."""
    from ..load.build import load_build
    from ..workspace import Workspace

    try:
        root = Workspace.open(directory).root
    except UsageError:
        return ()
    try:
        data = (root / "BUILD.toml").read_bytes()
    except OSError:
        return ()
    return load_build(data, "BUILD.toml", "").allow


# -- a second opinion ----------------------------------------------------------------------------------------------------------


def _detect_secrets() -> _Ask:
    """
    Raises:
        HostError: detect-secrets is not installed.
    """
    try:
        scan = import_module("detect_secrets.core.scan")
        settings = import_module("detect_secrets.settings")
    except ImportError:
        raise HostError("detect-secrets is not installed here", hint="pip install 'nmoe-graph[second-opinion]'") from None

    def secrets(text: str) -> list[tuple[int, str, str]]:
        # It reads files; its way for single lines leaves out the limits on entropy, and finds one in every word.
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="replace", suffix=".txt") as file:
            file.write(text)
            file.flush()
            with settings.default_settings():
                return sorted((one.line_number, str(one.type), str(one.secret_value or "")) for one in scan.scan_file(file.name))

    return secrets


def _second(ask: _Ask, text: str, known: list[Finding]) -> Iterator[Finding]:
    """What the other tool finds and we did not."""
    lines = text.split("\n")
    for number, rule, secret in ask(text):
        line = lines[number - 1] if 0 < number <= len(lines) else ""
        at = line.find(secret) if secret else -1
        one, two = (at + 1, at + 1 + len(secret)) if at >= 0 else (1, len(line) + 1)
        if not any(was.line == number and was.column < two and was.end > one for was in known):
            yield Finding(number, one, two, "credential", f"detect-secrets: {rule}", line[one - 1 : one + 3] if at >= 0 else "")
