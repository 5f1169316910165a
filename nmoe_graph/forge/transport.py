"""The one place over ghapi: time-outs, bounds, patience, pages; what comes out is JSON, bytes or one kind of error.

ghapi (pinned exactly, its parts are used) brings GitHub's operations and sends requests.  Everything about trust and trouble is
here: it neither retries nor follows anything by itself, and its own look at the environment (GITHUB_JWT_TOKEN, GH_HOST,
GHAPI_DEBUG) is not used.

A call that failed is sent again, after a wait, when a second time changes nothing (GET, PATCH), or when it is certain that nothing
happened: no connection, or a rate limit's 403 or 429.  A POST, PUT or DELETE of which nobody knows what became of it is reported
so, never repeated.  Waits follow Retry-After, then x-ratelimit-reset, then powers of two; their sum is bounded.
"""

from __future__ import annotations

import email.utils
import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from ..errors import HostError
from ..excerpt import one_line
from .errors import ForgeError, Trouble
from .operations import Operation
from .token import Token
from .where import LOOPBACK, Where

if TYPE_CHECKING:
    import httpx2

__all__ = ["API_VERSION", "Transport"]

_Value = TypeVar("_Value")

API_VERSION = "2022-11-28"
_MOST_JSON = 32 << 20  # bytes of one answer
_TRIES = 6  # of one request; no connection at all is believed sooner
_TRIES_UNREACHABLE = 3
_SECONDARY_S = 60  # GitHub asks for a minute at least where it gives no number
_REDIRECTS = (301, 302, 303, 307, 308)
_LINK = re.compile(r'<([^<>\s]{1,4000})>\s*((?:;\s*[a-z]+\s*=\s*"[^"]*"\s*)+)')
_LIMIT_WORDS = ("rate limit", "abuse detection")
_HINTS = {
    Trouble.UNAUTHORIZED: "is the token still valid?",
    Trouble.FORBIDDEN: "may this token do that?",
    Trouble.NOT_FOUND: "is it there, and may this token see it?",
    Trouble.SERVER: "try again later",
    Trouble.UNREACHABLE: "is the network there?",
}
_MAYBE = "it may have happened all the same: look before you ask again"


class _Passing(Exception):
    """Trouble that may pass.  `certain`: nothing happened; `wait_s`: what the server asks for."""

    def __init__(self, error: ForgeError, certain: bool, wait_s: float | None = None) -> None:
        self.error, self.certain, self.wait_s = error, certain, wait_s


class _Unfit(Exception):
    """An answer that is not read to its end: too big, too slow, encoded."""


class Transport:
    """Requests to one repository's GitHub, one at a time.

    Args:
        timeout_s: for a connection's silence; an answer as a whole may take four times that, a download forty times.
        patience_s: how long one call may wait in total between its tries.
        now, sleep: the clock, replaceable.
        over: another way to send, for tests.
        notify: is told about each wait.
    """

    def __init__(
        self,
        where: Where,
        token: Token,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 300.0,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        over: httpx2.BaseTransport | None = None,
        notify: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.where = where
        self._token, self._timeout_s, self._patience_s = token, timeout_s, patience_s
        self._now, self._sleep, self._over, self._notify = now, sleep, over, notify
        self._client: httpx2.Client | None = None
        self._inner: Any = None
        self._operations: dict[tuple[str, str], Any] = {}
        self._most, self._deadline_s = _MOST_JSON, timeout_s

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    # -- what callers ask ------------------------------------------------------------------------------------------------------

    def call(
        self, operation: Operation, route: Mapping[str, str | int], query: Mapping[str, Any] | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """The status of an operation's answer and its JSON, None where it has no body.

        Raises:
            ForgeError: see `Trouble`.
        """
        once = self._sender(operation, route, query or {}, body)
        what = self._words(operation, route)
        return self._patiently(operation, what, lambda: self._json(once()))

    def pages(
        self, operation: Operation, route: Mapping[str, str | int], query: Mapping[str, Any], most_pages: int
    ) -> Iterator[tuple[Any, bool]]:
        """The JSON of each page, and whether another one follows; pages by the Link header alone, which must stay where it is.

        Raises:
            ForgeError: see `Trouble`.
        """
        what = self._words(operation, route)
        once = self._sender(operation, route, query, None)
        seen: set[str] = set()
        for _ in range(most_pages):
            value, following = self._patiently(operation, what, lambda once=once: self._page(once()))  # type: ignore[misc]
            yield value, bool(following)
            if not following:
                return
            if following in seen:
                raise ForgeError(f"GitHub: {what}: its pages go round in a circle", Trouble.BROKEN)
            seen.add(following)
            once = lambda url=following: self._send(lambda: self._raw(url, self._headers()))  # type: ignore[misc]  # noqa: E731

    def fetch(self, operation: Operation, route: Mapping[str, str | int], most_bytes: int) -> bytes:
        """The bytes to which an operation redirects.  The token stays behind: the other address gets none.

        Raises:
            ForgeError: see `Trouble`; also where there are more than `most_bytes`.
        """
        what = self._words(operation, route)
        once = self._sender(operation, route, {}, None)
        return self._patiently(operation, what, lambda: self._download(once(), most_bytes))

    # -- one try ---------------------------------------------------------------------------------------------------------------

    def _words(self, operation: Operation, route: Mapping[str, str | int]) -> str:
        """Method and path for an error; no query, no host."""
        path = re.sub(r"{(\w+)}", lambda hit: str(self._whole(route)[hit[1]]), operation.path)
        return f"{operation.method} {path}"

    def _whole(self, route: Mapping[str, str | int]) -> dict[str, str | int]:
        return {"owner": self.where.owner, "repo": self.where.name, **route}

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"}

    def _start(self) -> None:
        """Import ghapi and make its operations, those of the closed list alone."""
        try:
            import ghapi.core
            import httpx2
        except ImportError:
            raise HostError("talking to GitHub needs ghapi, which is not here", hint="pip install 'nmoe-graph[github]'") from None
        from .operations import OPERATIONS

        parts: Any = ghapi.core
        wanted = {(one.method, one.path) for one in OPERATIONS.values()}
        self._client = httpx2.Client(
            transport=self._over,
            timeout=httpx2.Timeout(self._timeout_s, connect=min(10.0, self._timeout_s)),
            follow_redirects=False,
            # A proxy of the environment is for the world; what is on this machine is not behind it.
            trust_env=(urlsplit(self.where.api).hostname or "") not in LOOPBACK,
            event_hooks={"response": [self._watch]},
        )
        base = {
            "Accept": "application/vnd.github+json",
            "Accept-Encoding": "identity",
            "User-Agent": "nmoe-graph",
            "X-GitHub-Api-Version": API_VERSION,
        }
        self._inner = parts.GhSyncTransport(
            debug=lambda *_: None,
            client=self._client,
            base_headers=base,
            follow_redirects=False,
            retries=0,
            timeout=self._timeout_s,
        )
        self._operations = {
            (one.verb.upper(), one.path): parts.SyncOpFunc(one, self._inner, self.where.api)
            for one in parts.pspec.ops
            if (one.verb.upper(), one.path) in wanted
        }

    def _watch(self, response: httpx2.Response) -> None:
        """Before a body is read: what may be in it, and how long it may take."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _Unfit("is encoded, which was not asked for")
        if int(response.headers.get("content-length", "0").strip()[:20] or "0", 10) > self._most:
            raise _Unfit(f"has more than {self._most:,} bytes")
        response.stream = _bounded(response.stream, self._most, self._deadline_s)

    def _sender(
        self, operation: Operation, route: Mapping[str, str | int], query: Mapping[str, Any], body: Any
    ) -> Callable[[], httpx2.Response]:
        whole = self._whole(route)
        names = set(re.findall(r"{(\w+)}", operation.path))
        if names - whole.keys() or route.keys() - names or any(value == "" for value in whole.values()):
            raise AssertionError(f"{operation.id} is given {sorted(route)}")  # ghapi would send the braces
        if self._client is None:
            self._start()
        function = self._operations[operation.method, operation.path]
        given = {name: value for name, value in whole.items() if name in names}
        asked = {name: value for name, value in query.items() if value not in ("", None)}
        return lambda: self._send(lambda: function(**given, query_=asked, body_=body or {}, headers_=self._headers(), raw_=True))

    def _raw(self, url: str, headers: Mapping[str, str]) -> Any:
        return self._inner.request("GET", url, headers=dict(headers), raw=True)

    def _send(self, ask: Callable[[], Any], most: int = _MOST_JSON, deadline_s: float = 0.0) -> httpx2.Response:
        """One request, whatever its status.

        Raises:
            _Passing: no whole answer came.
        """
        import ghapi.core
        import httpx2

        self._most, self._deadline_s = most, deadline_s or 4 * self._timeout_s
        try:
            answer: httpx2.Response = ask()
        except ghapi.core.APIError as error:
            if error.response is None:
                raise self._broken(error.raw) from None
            answer = error.response
        except httpx2.HTTPStatusError as error:
            answer = error.response
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, _Unfit, ValueError) as error:
            raise self._broken(error) from None
        length = answer.headers.get("content-length")
        if length is not None and answer.status_code != 204 and length.strip() != str(len(answer.content)):
            raise self._broken(_Unfit("was cut"))
        return answer

    def _broken(self, error: object) -> _Passing:
        import httpx2

        if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)):
            why = "no connection: " + self._said(str(error))
            return _Passing(ForgeError(why, Trouble.UNREACHABLE, _HINTS[Trouble.UNREACHABLE]), certain=True)
        if isinstance(error, httpx2.TimeoutException):
            return _Passing(ForgeError("no answer in time", Trouble.BROKEN, _HINTS[Trouble.SERVER]), certain=False)
        why = f"the answer {error}" if isinstance(error, _Unfit) else "the connection broke"
        return _Passing(ForgeError(why, Trouble.BROKEN, _HINTS[Trouble.SERVER]), certain=False)

    def _said(self, text: str) -> str:
        return self._token.scrubbed(one_line(self._token.scrubbed(text), limit=300))

    # -- what an answer says ---------------------------------------------------------------------------------------------------

    def _judge(self, answer: httpx2.Response) -> None:
        """Nothing for a 2xx.

        Raises:
            _Passing: it may be otherwise later.
            ForgeError: it will not.
        """
        status = answer.status_code
        if 200 <= status < 300:
            return
        said = self._message(answer)
        words = f"{status} {said}".rstrip()
        if status in (403, 429) and (status == 429 or self._limited(answer, said)):
            error = ForgeError(words, Trouble.LIMITED, "wait, or ask less often", status=status, said=said)
            raise _Passing(error, certain=True, wait_s=self._asked_wait(answer, said))
        if status >= 500:
            raise _Passing(ForgeError(words, Trouble.SERVER, _HINTS[Trouble.SERVER], status=status, said=said), certain=False)
        kinds = {
            401: Trouble.UNAUTHORIZED,
            403: Trouble.FORBIDDEN,
            404: Trouble.NOT_FOUND,
            410: Trouble.NOT_FOUND,
            409: Trouble.CONFLICT,
        }
        trouble = kinds.get(status, Trouble.REFUSED)
        hint = "was the repository renamed or moved? git remote set-url" if status in _REDIRECTS else _HINTS.get(trouble, "")
        raise ForgeError(words, trouble, hint, status=status, said=said)

    def _message(self, answer: httpx2.Response) -> str:
        """GitHub's own words on a refusal, made safe."""
        try:
            given = answer.json()
        except (ValueError, RecursionError):
            return ""
        if not isinstance(given, dict):
            return ""
        words = [given["message"]] if isinstance(given.get("message"), str) else []
        errors = given.get("errors")
        for one in errors[:3] if isinstance(errors, list) else []:
            if isinstance(one, str):
                words.append(one)
            elif isinstance(one, dict):
                words.append(" ".join(str(one[name]) for name in ("field", "code", "message") if isinstance(one.get(name), str)))
        return self._said("; ".join(filter(None, words))[:2000])

    @staticmethod
    def _limited(answer: httpx2.Response, said: str) -> bool:
        headers = answer.headers
        return (
            "retry-after" in headers
            or headers.get("x-ratelimit-remaining") == "0"
            or any(word in said.lower() for word in _LIMIT_WORDS)
        )

    def _asked_wait(self, answer: httpx2.Response, said: str) -> float | None:
        """The seconds that the answer asks for, None where it does not say."""
        after = answer.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}", after):
            return float(after)
        if after:
            try:
                return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - self._now())
            except (ValueError, OverflowError):
                pass
        reset = answer.headers.get("x-ratelimit-reset", "").strip()
        if answer.headers.get("x-ratelimit-remaining") == "0" and re.fullmatch(r"\d{1,12}", reset):
            return max(0.0, float(reset) - self._now()) + 1.0
        return float(_SECONDARY_S) if "secondary" in said.lower() or "abuse" in said.lower() else None

    def _json(self, answer: httpx2.Response) -> tuple[int, Any]:
        self._judge(answer)
        if answer.status_code == 204 or (not answer.content and answer.status_code == 202):
            return answer.status_code, None
        try:
            if "json" not in answer.headers.get("content-type", ""):
                raise ValueError
            return answer.status_code, answer.json()
        except (ValueError, RecursionError):
            raise _Passing(ForgeError("the answer is no JSON", Trouble.BROKEN, _HINTS[Trouble.SERVER]), certain=False) from None

    def _page(self, answer: httpx2.Response) -> tuple[Any, str]:
        value = self._json(answer)[1]
        for url, parameters in _LINK.findall(answer.headers.get("link", "")[:20_000]):
            if re.search(r';\s*rel\s*=\s*"next"', parameters):
                if not self._at_home(url):
                    raise ForgeError("the next page is on another host", Trouble.BROKEN)
                return value, url
        return value, ""

    def _at_home(self, url: str) -> bool:
        try:
            here, there = urlsplit(self.where.api), urlsplit(url)
            same = (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port)
        except ValueError:
            return False
        return same and "@" not in there.netloc and there.path.startswith(here.path + "/") and "/.." not in there.path

    def _download(self, answer: httpx2.Response, most: int) -> bytes:
        if answer.status_code not in _REDIRECTS:
            self._judge(answer)
            raise ForgeError("GitHub does not say where it is", Trouble.BROKEN, status=answer.status_code)
        url = urljoin(self.where.api + "/", answer.headers.get("location", ""))
        parts = urlsplit(url)
        near = (parts.hostname or "") in LOOPBACK and (urlsplit(self.where.api).hostname or "") in LOOPBACK
        if "@" in parts.netloc or not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and near)):
            raise ForgeError("the download is at no address that is taken", Trouble.BROKEN)
        found = self._send(lambda: self._raw(url, {"Accept": "*/*"}), most, 40 * self._timeout_s)
        if found.status_code != 200:
            error = ForgeError(
                f"the download: {found.status_code}", Trouble.SERVER, _HINTS[Trouble.SERVER], status=found.status_code
            )
            raise _Passing(error, certain=False)
        return bytes(found.content)

    # -- patience --------------------------------------------------------------------------------------------------------------

    def _patiently(self, operation: Operation, what: str, once: Callable[[], _Value]) -> _Value:
        """`once`, and again while there is reason to."""
        waited, uncertain = 0.0, False
        for tries in itertools.count(1):
            try:
                return once()
            except ForgeError as refusal:
                raise self._final(refusal, what, uncertain=uncertain) from None
            except _Passing as trouble:
                error, certain, asked = trouble.error, trouble.certain, trouble.wait_s
            uncertain = uncertain or (operation.writes and not certain)  # of any try, not of the last
            if not certain and not operation.again:
                raise self._final(error, what, uncertain=uncertain)
            delay = float(2 ** (tries - 1)) if asked is None else asked
            most = _TRIES_UNREACHABLE if error.trouble is Trouble.UNREACHABLE else _TRIES
            if tries >= most or waited + delay > self._patience_s:
                raise self._final(error, what, uncertain=uncertain, delay=delay)
            self._notify(f"GitHub: {what}: {error.faults[0].what}; again in {delay:.0f} s")
            self._sleep(delay)
            waited += delay
        raise AssertionError  # count() does not end

    def _final(self, error: ForgeError, what: str, *, uncertain: bool, delay: float = 0.0) -> ForgeError:
        fault = error.faults[0]
        hint = _MAYBE if uncertain else fault.hint
        if error.trouble is Trouble.LIMITED and delay:
            hint = f"GitHub asks to wait {delay:.0f} s: try again then"
        return ForgeError(
            f"GitHub: {what}: {fault.what}", error.trouble, hint, status=error.status, uncertain=uncertain, said=error.said
        )


def _bounded(stream: Any, most: int, deadline_s: float) -> httpx2.SyncByteStream:
    """The same bytes, as long as they are not too many and come in time."""
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            size, end = 0, time.monotonic() + deadline_s
            for chunk in stream:
                size += len(chunk)
                if size > most:
                    raise _Unfit(f"has more than {most:,} bytes")
                if time.monotonic() > end:
                    raise _Unfit(f"took more than {deadline_s:g} s")
                yield chunk

        def close(self) -> None:
            stream.close()

    return Bounded()
