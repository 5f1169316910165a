"""What a target reads, as a list: each thing with its place, what of it counts, and why it is there."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from ..model import Toolchain

__all__ = ["Form", "Input", "Inputs", "Reason"]


class Form(enum.StrEnum):
    """What of an input counts."""

    BYTES = "bytes"  # git's blob id
    MEANING = "meaning"  # the syntax tree, or the data
    TREE = "tree"  # a whole folder, by git's tree id
    GITLINK = "gitlink"  # a submodule, by its commit
    OUTPUT = "output"  # a file that an action makes, by that action's key


class Reason(enum.StrEnum):
    """Why something is an input.  The same words everywhere."""

    DECLARED = "declared in inputs"
    REQUIRED = "named in requires_files"
    DEPENDENCY = "through deps"
    NAMED = "named by the command"
    IMPORTED = "imported"
    WIDENED = "reached by a dynamic import"
    OPENED = "opened by a path relative to a module"
    BELOW = "below a folder that is read by names known only at run time"
    WHOLE_TREE = "the whole tree counts"


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that is read.  Equality is by content and place; the reason is luggage."""

    path: str
    mode: int
    form: Form
    digest: str
    reason: Reason = field(default=Reason.DECLARED, compare=False)
    via: tuple[str, ...] = field(default=(), compare=False)  # the labels that lead here, the target's own dependency first
    parent: str = field(default="", compare=False)  # the input that needs this one; the way to it goes on there

    def row(self) -> list[Any]:
        """The line of a manifest: what enters a digest (place, mode, form, content), and then the luggage."""
        return [self.path, self.mode, self.form.value, self.digest, self.reason.value, list(self.via), self.parent]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a target reads, by path."""

    items: tuple[Input, ...] = ()
    problems: tuple[str, ...] = ()  # why the gate fails without being run
    whole_tree: str = ""  # why everything counts; empty where it does not
    warnings: tuple[str, ...] = ()
    own_modules: tuple[str, ...] = ()
    toolchains: tuple[Toolchain, ...] = ()
    locks: tuple[tuple[str, str], ...] = ()  # lock file -> blob id
    search: tuple[tuple[str, ...], bool, str] | None = None  # see `growth`; None where more than one program is followed

    def by_path(self) -> dict[str, Input]:
        return {item.path: item for item in self.items}
