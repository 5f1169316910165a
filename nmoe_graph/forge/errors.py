"""What can go wrong with GitHub, so that a caller can tell one thing from another."""

from __future__ import annotations

import enum

from ..errors import HostError

__all__ = ["ForgeError", "Trouble"]


class Trouble(enum.StrEnum):
    """What kind of trouble it is."""

    UNREACHABLE = "unreachable"  # no connection came about: nothing happened
    LIMITED = "limited"  # GitHub asks for patience, and for more than we have
    SERVER = "server"  # 5xx
    BROKEN = "broken"  # an answer that was cut, too big, too slow, or not what the description says
    UNAUTHORIZED = "unauthorized"  # 401: the token
    FORBIDDEN = "forbidden"  # 403: what the token may do
    NOT_FOUND = "not_found"  # 404, 410
    CONFLICT = "conflict"  # 409: somebody was faster
    REFUSED = "refused"  # 405, 422 and every other answer that refuses


class ForgeError(HostError):
    """GitHub did not do what was asked, or nobody knows whether it did.

    `status` is the HTTP status, None where there was no answer.  `uncertain` says that a write may have happened all the same:
    whoever catches it looks before asking again.
    """

    def __init__(
        self, what: str, trouble: Trouble, hint: str = "", *, status: int | None = None, uncertain: bool = False, said: str = ""
    ) -> None:
        self.trouble, self.status, self.uncertain = trouble, status, uncertain
        #: GitHub's own words, shown safely; "" where it said nothing.
        self.said = said
        super().__init__(what, hint)
