"""A contract written: its YAML in the form of the workflow document, and the issue that holds it.

What is written is read back before anybody sees it, by the reader that will judge it everywhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DeclarationError, Fault, HostError, UsageError, printable
from ..load.contract import load_contract
from ..load.gates import GatesFile
from ..load.globs import Glob
from ..model import Contract

__all__ = ["Draft", "contract_path", "free_issue_id", "issue_body", "issue_title", "write_contract"]

#: Words that YAML reads as something else than text, in one version or another.
_OTHER = re.compile(r"(?i)(?:true|false|yes|no|on|off|y|n|null|~|[-+.]?[\d.][\d_.,:eExXoO+\-]*|\.?(?:inf|nan))\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_./(](?:[^\n\t\"'#:{}\[\],&!|>%@`\\]|:(?=[A-Za-z0-9_]))*\Z", re.ASCII)


@dataclass(frozen=True)
class Draft:
    """What somebody wants to be done.  `depends_on` is a list of ids, or ("all",)."""

    issue: str
    slug: str
    kind: str
    risk: str
    complexity: str
    title: str = ""
    depends_on: tuple[str, ...] = ()
    merge_hotspots: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ()
    knobs_add: tuple[str, ...] = ()
    knobs_change: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    perf: tuple[tuple[str, str], ...] = field(default=())  # gate, metric, baseline_ref, budget_pct
    strategy: str = "squash"
    delete_branch: bool = True

    def to_yaml(self) -> str:
        """The same text for the same draft; keys in the order of the workflow document."""
        lines = ["nmoe:"]
        for key in ("issue", "slug", "kind", "risk", "complexity"):
            lines.append(f"  {key}: {_id(getattr(self, key)) if key == 'issue' else _scalar(getattr(self, key))}")
        if self.title:
            lines.append(f"  title: {_scalar(self.title)}")
        ids = "all" if self.depends_on == ("all",) else f"[{', '.join(map(_id, self.depends_on))}]"
        lines.append(f"  depends_on: {ids}")
        lines.append(f"  merge_hotspots: [{', '.join(map(_scalar, self.merge_hotspots))}]")
        lines += ["", "scope:", *_listed("allow", self.allow, 2), *_listed("deny", self.deny, 2)]
        lines += ["", "contract:", *_listed("invariants", self.invariants, 2), "  knobs:"]
        lines += [f"    add: [{', '.join(map(_scalar, self.knobs_add))}]"]
        lines += [f"    change: [{', '.join(map(_scalar, self.knobs_change))}]"]
        lines += ["", "gates:", *_listed("required", self.required, 2)]
        if self.perf:
            lines.append("  perf:")
            lines += [f"    {key}: {value if key == 'budget_pct' else _scalar(value)}" for key, value in self.perf]
        if self.strategy != "squash" or not self.delete_branch:
            lines += ["", "merge:", f"  strategy: {self.strategy}", f"  delete_branch: {str(self.delete_branch).lower()}"]
        return "\n".join(lines) + "\n"

    def checked(self, gates: GatesFile | None, allow: Sequence[str] = ()) -> Contract:
        """The contract that this draft is, by the reader of contracts.

        Raises:
            DeclarationError: with every fault, at its place in the YAML that would be written.
        """
        return load_contract(self.to_yaml().encode(), "the draft", gates, allow)


def _id(value: str) -> str:
    return value if re.fullmatch(r"[0-9]{1,6}[a-z]{0,3}", value, re.ASCII) else _scalar(value)


def _scalar(value: str) -> str:
    """A scalar that every YAML reader takes for this text."""
    if _PLAIN.match(value) and not _OTHER.match(value) and not value.endswith(" "):
        return value
    return '"' + "".join(f"\\{char}" if char in '"\\' else char for char in value) + '"'


def _listed(key: str, values: Iterable[str], indent: int) -> list[str]:
    space = " " * indent
    rows = [f"{space}  - {_scalar(value)}" for value in values]
    return [f"{space}{key}:", *rows] if rows else [f"{space}{key}: []"]


def free_issue_id(taken: Iterable[str]) -> str:
    """The first number above all that are taken, with two digits at least."""
    numbers = [int(found[0]) for one in taken if (found := re.match(r"\d+", one))]
    return f"{max(numbers, default=0) + 1:02d}"


def contract_path(patterns: Sequence[str], draft: Draft) -> str:
    """Where the file of a contract belongs: in the folder of the first pattern of `[workspace] contracts` that takes it.

    Raises:
        UsageError: no pattern does.
    """
    for pattern in patterns:
        folder = Glob(pattern).literal_prefix.rstrip("/")
        path = f"{folder}/{draft.issue}-{draft.slug}.yaml" if folder else f"{draft.issue}-{draft.slug}.yaml"
        if Glob(pattern).matches(path):
            return path
    raise UsageError(
        "[workspace] contracts has no place for a new file", hint='contracts = ["configs/contracts/*.yaml"] in BUILD.toml'
    )


def write_contract(root: Path, path: str, text: str) -> Path:
    """Write a new file, whole or not at all; an existing one is never touched.

    Raises:
        UsageError: there is a file already.
        HostError: the disk refused.
    """
    target = root / path
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(scratch, "x", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.link(scratch, target)  # fails where the name is taken; a rename would not
        finally:
            scratch.unlink()
    except FileExistsError:
        raise UsageError(f"{printable(path)} is there already", hint="edit it, or take another id or slug") from None
    except OSError as error:
        raise HostError(f"{printable(path)} cannot be written: {error.strerror}") from None
    return target


def issue_title(contract: Contract) -> str:
    return f"[{contract.issue}] {contract.title or contract.slug}"


def issue_body(text: str) -> str:
    """The body of the issue that holds a contract: the one fenced block, and what people should know of it.

    Raises:
        DeclarationError: the text would end its own fence.
    """
    if "```" in text:
        raise DeclarationError(Fault("the contract holds a fence ``` and cannot stand in an issue"))
    return (
        "The block below is the contract: `nmoe-graph contract sync` reads it, and nothing else in this issue counts.\n\n"
        f"```yaml\n{text}```\n"
    )
