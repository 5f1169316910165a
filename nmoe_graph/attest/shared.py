"""What others proved, for look-ups by action key.

Nothing is loaded before the ledger holds something under a key that is asked for: most starts of the program end before that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import NmoeGraphError
from ..git.ledger import Ledger
from ..result import Result

if TYPE_CHECKING:
    from .evidence import Asked, Evidence, Proof

__all__ = ["SharedProofs"]


class SharedProofs:
    """The ledger of one workspace, judged by the rules of its base; each key is judged once."""

    def __init__(self, workspace: Asked) -> None:
        self._workspace = workspace
        self._ledger = Ledger(workspace.repository)
        self._evidence: Evidence | None = None
        self._why_not = ""
        self._known: dict[str, tuple[list[Proof], list[str]]] = {}

    def _judged(self, key: str) -> tuple[list[Proof], list[str]]:
        if key not in self._known:
            self._known[key] = self._judge(key) if self._ledger.envelopes(key) else ([], [])
        return self._known[key]

    def _judge(self, key: str) -> tuple[list[Proof], list[str]]:
        from .evidence import Evidence

        if self._evidence is None and not self._why_not:
            try:
                self._evidence = Evidence(self._workspace)
            except NmoeGraphError as error:
                self._why_not = error.faults[0].what
        if self._evidence is None:
            return [], [f"what the ledger holds counts for nothing: {self._why_not}"]
        return self._evidence.all_shared(key)

    def proofs(self, key: str, timeout_s: int, accept_flaky: bool) -> list[Result]:
        """The results that count under a key, each with the word on whose it is as its reason."""
        return [
            replace(one.result, reason=one.by)
            for one in self._judged(key)[0]
            if one.result.verdict.proves(accept_flaky) and one.result.duration_s <= timeout_s
        ]

    def refused(self, key: str) -> list[str]:
        """Why what is in the ledger under a key does not count; empty where something does, or nothing is there."""
        found, why = self._judged(key)
        return [] if found else why
