"""What questions and plans need of the workspace that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..answers import BuildReport
    from ..digest.analysis import Analysis
    from ..execute.build import Events
    from ..git.repository import Repository
    from ..git.snapshot import Snapshot
    from ..store.local import Store
    from ..store.memo import SqliteMemo

__all__ = ["Asked"]


class Asked(Protocol):
    """A workspace, as seen from below."""

    repository: Repository
    memo: SqliteMemo

    @property
    def store(self) -> Store: ...

    def snapshot(self, at: str | None = None) -> Snapshot: ...

    def analysis(self, at: str | Snapshot | None = None) -> Analysis: ...

    def synced(self) -> Snapshot | None: ...

    def base_ref(self, at: str | None = None) -> str | None: ...

    def shared_refusals(self, key: str) -> list[str]: ...

    def build(
        self,
        labels: Sequence[str] | str,
        at: str | Snapshot | None = None,
        *,
        keep_going: bool = False,
        dry_run: bool = False,
        events: Events | None = None,
        onto: str | None = None,
    ) -> BuildReport: ...
