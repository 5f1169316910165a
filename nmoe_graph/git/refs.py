"""Refs of ours, read without starting a program."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CONTRACTS_REF", "LEDGER_REF", "NOTES_REF", "has_ledger", "read_ref"]

NOTES_REF = "refs/notes/nmoe-graph"
LEDGER_REF = "refs/nmoe-graph/ledger"
CONTRACTS_REF = "refs/nmoe-graph/contracts"


def read_ref(common_dir: Path, ref: str) -> str | None:
    """The id that a ref holds, loose or packed; None where it does not exist."""
    try:
        text = (common_dir / ref).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = _packed(common_dir, ref)
    return text if len(text) == 40 and not text.strip("0123456789abcdef") else None


def _packed(common_dir: Path, ref: str) -> str:
    try:
        rows = (common_dir / "packed-refs").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((row[:40] for row in rows if row[40:] == f" {ref}"), "")


def has_ledger(common_dir: Path) -> bool:
    """Whether this clone holds results of others."""
    return read_ref(common_dir, LEDGER_REF) is not None
