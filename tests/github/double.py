"""A stateful GitHub for tests, as a WSGI app, checked on both sides against GitHub's own description.

Every request that the forge sends and every answer that the double gives is validated with openapi-core; what does not fit is in
`violations`, and the fixture fails the test for it.  Faults are injected by `inject`.  It runs inside the process (`transport()`)
or on a loopback socket (`serve()`).
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openapi_core import OpenAPI
from openapi_core.contrib.werkzeug import WerkzeugOpenAPIRequest, WerkzeugOpenAPIResponse
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from .double_answers import Answers
from .double_operations import BOT, HANDLERS, Asked, Reply
from .double_state import State
from .reduce import DESCRIPTION

__all__ = ["MAINTAINER", "READER", "WORKFLOW", "Done", "Double", "Fault"]

#: Tokens that the double knows.  They look like no kind of token.
MAINTAINER, READER, WORKFLOW = "the-word-of-a-maintainer", "the-word-of-a-reader", "the-word-of-a-workflow"
_PEOPLE = {MAINTAINER: ("maintainer", True), READER: ("reader", False), WORKFLOW: (BOT, False)}
#: What GitHub says of limits.
_PRIMARY = "API rate limit exceeded for user ID 1."
_SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
FAULTS = (
    "retry_after",
    "primary",
    "secondary",
    "429",
    "500",
    "502",
    "503",
    "refused",
    "cut",
    "truncated",
    "not_json",
    "huge",
    "slow",
    "endless",
    "elsewhere",
)
#: A fault of these comes in place of the work; the others may come after it, too.
NEVER_DONE = ("retry_after", "primary", "secondary", "429", "refused")


@functools.cache
def description() -> tuple[dict[str, Any], OpenAPI]:
    loaded = json.loads(gzip.decompress(DESCRIPTION.read_bytes()))
    return loaded, OpenAPI.from_dict(loaded)


@dataclass
class Fault:
    """Trouble for the next `times` requests of an operation (None: any; "storage": a download).

    `after`: the work is done, and then it happens.
    """

    kind: str
    operation: str | None = None
    times: int = 1
    after: bool = False
    seconds: float = 0.0  # what Retry-After says, or how slow it is


@dataclass(frozen=True)
class Done:
    """A request that came in: what it was, and whether it was carried out."""

    operation: str
    status: int
    carried_out: bool
    fault: str = ""
    route: dict[str, str] = field(default_factory=dict)
    body: Any = None


class _Cut(Exception):
    """The connection ends here."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Nothing: what was asked is in `Double.log`."""


class Double(State):
    """GitHub, one repository of it.

    `log` has every request in order; `violations` what did not fit the description, and every token that went astray.
    """

    def __init__(self, owner: str = "noumena", name: str = "nmoe") -> None:
        super().__init__(owner, name)
        self._description, self._openapi = description()
        self._answers = Answers(self, self._description["components"]["examples"])
        self._routes = [
            (method.upper(), re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)) + r"\Z"), one["operationId"])
            for path, methods in self._description["paths"].items()
            for method, one in methods.items()
        ]
        self.log: list[Done] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.per_page_most = 100
        #: What happens elsewhere just before an operation is carried out, once.
        self.meanwhile: dict[str, Callable[[], object]] = {}
        self.lock = threading.RLock()

    # -- for tests -------------------------------------------------------------------------------------------------------------

    def inject(self, kind: str, operation: str | None = None, *, times: int = 1, after: bool = False, seconds: float = 0.0) -> None:
        """Trouble for the next requests; see FAULTS."""
        assert kind in FAULTS and (operation in (None, "storage") or operation in HANDLERS)
        assert not (after and kind in NEVER_DONE)
        self.faults.append(Fault(kind, operation, times, after, seconds))

    def carried_out(self, operation: str) -> list[Done]:
        return [one for one in self.log if one.operation == operation and one.carried_out]

    def transport(self) -> httpx2.BaseTransport:
        """The way in without a socket; `timeout`s and broken connections are httpx2's own errors."""
        return _Inside(self)

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """The base URL of a server on a loopback socket, for as long as the block lasts."""
        server = make_server("127.0.0.1", 0, self.app, threaded=True, request_handler=_Quiet)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    # -- the app ---------------------------------------------------------------------------------------------------------------

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        wire: socket.socket | None = environ.get("werkzeug.socket")
        pause = 0.0
        with self.lock:
            self.tick()
            for pull in self.pulls.values():
                self.follow(pull)
            try:
                response, pause = self._answer(Request(environ))
            except _Cut as cut:
                if wire is None:
                    raise
                assert cut.kind == "cut", "a socket that listens cannot refuse"
                wire.shutdown(socket.SHUT_RDWR)
                return []
        if pause:
            if wire is None:
                raise _Cut("slow")
            time.sleep(pause)
        if wire is not None and response.headers.get("X-Cut"):
            return _half(response, environ, start_response, wire)
        return response(environ, start_response)

    def _answer(self, request: Request) -> tuple[Response, float]:
        path = request.path.removeprefix("/api/v3")
        if path.startswith("/_storage/"):
            return self._storage(request, path), 0.0
        method = request.method or ""
        # A ref has slashes; to the description it is one part of the path.
        known = re.sub(r"(?<=/git/refs/).+\Z|(?<=/commits/).+(?=/check-runs\Z)", lambda hit: hit[0].replace("/", "%2F"), path)
        found = next(((hit, name) for verb, form, name in self._routes if verb == method and (hit := form.match(known))), None)
        if not found:
            self.violations.append(f"{method} {path}: no operation of the description")
            return _json(404, {"message": "Not Found"}), 0.0
        route = {key: value.replace("%2F", "/") for key, value in found[0].groupdict().items()}
        name = found[1]
        fault = next((one for one in self.faults if one.operation in (None, name)), None)
        if fault:
            fault.times -= 1
            if not fault.times:
                self.faults.remove(fault)
        if fault and not fault.after and fault.kind not in ("endless", "elsewhere", "slow"):
            self._note(name, 0, False, fault, route, request)
            return self._trouble(fault, _json(200, {"done": False})), 0.0
        if name in self.meanwhile:
            self.meanwhile.pop(name)()
            for pull in self.pulls.values():
                self.follow(pull)
        response = self._carry_out(request, known, name, route)
        self._note(name, response.status_code, response.status_code < 400, fault, route, request)
        if fault:
            return self._trouble(fault, response, request), fault.seconds if fault.kind == "slow" else 0.0
        return response, 0.0

    def _note(self, name: str, status: int, done: bool, fault: Fault | None, route: dict[str, str], request: Request) -> None:
        body = request.get_json(silent=True) if request.content_length else None
        self.log.append(Done(name, status, done, fault.kind if fault else "", route, body))

    def _carry_out(self, request: Request, path: str, name: str, route: dict[str, str]) -> Response:
        if request.headers.get("X-GitHub-Api-Version") != "2022-11-28" or "User-Agent" not in request.headers:
            self.violations.append(f"{name}: no version, or no agent, in the headers")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in _PEOPLE:
            return _json(401, {"message": "Bad credentials"})
        if (route.get("owner", self.owner), route.get("repo", self.name)) != (self.owner, self.name):
            return _json(404, {"message": "Not Found"})
        # The description knows one server; where the double listens is nobody's business.
        environ = request.environ | {
            "PATH_INFO": path,
            "wsgi.url_scheme": "https",
            "HTTP_HOST": "api.github.com",
            "SCRIPT_NAME": "",
        }
        request.get_data(cache=True)
        described = WerkzeugOpenAPIRequest(_Again(environ, request.get_data()))
        try:
            self._openapi.validate_request(described)
        except Exception as error:  # noqa: BLE001
            self.violations.append(f"request {name}: {_why(error)}")
            return _json(422, {"message": "Validation Failed"})
        if self.remaining:
            self.remaining -= 1
        body = request.get_json(silent=True) if request.content_length else None
        login, maintainer = _PEOPLE[token]
        asked = Asked(login, maintainer, route, request.args.to_dict(), body or {})
        reply = HANDLERS[name](self, self._answers, asked)
        response = self._paged(reply, request, path)
        declared = next(
            one for methods in self._description["paths"].values() for one in methods.values() if one["operationId"] == name
        )
        if str(response.status_code) in declared["responses"]:
            try:
                self._openapi.validate_response(described, WerkzeugOpenAPIResponse(response))
            except Exception as error:  # noqa: BLE001
                self.violations.append(f"answer {name} {response.status_code}: {_why(error)}")
        elif response.status_code < 400:
            self.violations.append(f"answer {name}: {response.status_code} is not described")
        return response

    def _paged(self, reply: Reply, request: Request, path: str) -> Response:
        headers = dict(reply.headers)
        body = reply.body
        if reply.rows is not None:
            each = min(int(request.args.get("per_page", 30)), self.per_page_most)
            page = int(request.args.get("page", 1))
            rows = reply.rows[(page - 1) * each : page * each]
            body = body | {reply.key: rows} if reply.key else rows
            if page * each < len(reply.rows):
                last = -(-len(reply.rows) // each)
                headers["Link"] = f'<{_page(request, page + 1)}>; rel="next", <{_page(request, last)}>; rel="last"'
        reset = str(int(time.time()) + 3600)
        headers |= {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": str(self.remaining), "X-RateLimit-Reset": reset}
        if body is None:
            return Response(b"", reply.status, headers)
        return _json(reply.status, body, headers)

    def _storage(self, request: Request, path: str) -> Response:
        """Where artifacts and logs lie: another place, which must never see a token."""
        if "Authorization" in request.headers:
            self.violations.append("a token was sent to the storage")
        kind, _, number = path.removeprefix("/_storage/").partition("/")
        fault = next((one for one in self.faults if one.operation == "storage"), None)
        data = None
        for run in self.runs.values():
            if kind == "artifacts" and int(number) in run.artifacts:
                data = run.artifacts[int(number)][1]
            for job in run.jobs:
                if kind == "logs" and job.id == int(number):
                    data = job.log
        if data is None:
            return Response(b"", 404)
        response = Response(data, 200, content_type="application/zip" if kind == "artifacts" else "text/plain")
        if fault:
            self.faults.remove(fault)
            return self._trouble(fault, response)
        return response

    def _trouble(self, fault: Fault, response: Response, request: Request | None = None) -> Response:
        kind = fault.kind
        if kind in ("refused", "cut"):
            raise _Cut(kind)
        if kind == "retry_after":
            return _json(403, {"message": _SECONDARY}, {"Retry-After": f"{fault.seconds:.0f}"})
        if kind == "primary":
            reset = str(int(time.time() + fault.seconds))
            return _json(403, {"message": _PRIMARY}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})
        if kind == "secondary":
            return _json(403, {"message": _SECONDARY})
        if kind.isdigit():
            return _json(int(kind), {"message": "try again"}, {"Retry-After": f"{fault.seconds:.0f}"} if kind == "429" else {})
        if kind == "truncated":
            whole = response.get_data() or b'{"half":'
            cut = Response(whole[: len(whole) // 2], response.status_code, response.headers)
            cut.headers["Content-Length"], cut.headers["X-Cut"] = str(len(whole)), "1"
            return cut
        if kind == "not_json":
            return Response(b"<html>a proxy's page</html>", 200, content_type="application/json")
        if kind == "huge":
            return Response(b'["' + b"a" * (33 << 20) + b'"]', 200, content_type="application/json")
        if kind in ("endless", "elsewhere") and request is not None:
            url = _page(request, int(request.args.get("page", 1)) + 1)
            url = url if kind == "endless" else re.sub(r"//[^/]+", "//elsewhere.example", url)
            response.headers["Link"] = f'<{url}>; rel="next"'
        return response


class _Again(Request):
    """A request whose body was read already."""

    def __init__(self, environ: dict[str, Any], data: bytes) -> None:
        import io

        super().__init__(environ | {"wsgi.input": io.BytesIO(data)})


class _Inside(httpx2.BaseTransport):
    """httpx2's way into a WSGI app, with errors of a real connection."""

    def __init__(self, double: Double) -> None:
        self._wsgi = httpx2.WSGITransport(app=double.app)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return self._wsgi.handle_request(request)
        except _Cut as cut:
            kinds = {"refused": httpx2.ConnectError, "slow": httpx2.ReadTimeout, "cut": httpx2.RemoteProtocolError}
            raise kinds[cut.kind](f"injected: {cut.kind}", request=request) from None


def _half(response: Response, environ: dict[str, Any], start_response: Callable[..., Any], wire: socket.socket) -> Iterator[bytes]:
    yield from response(environ, start_response)
    wire.shutdown(socket.SHUT_RDWR)


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json; charset=utf-8")


def _page(request: Request, page: int) -> str:
    from urllib.parse import urlencode

    return f"{request.base_url}?{urlencode(request.args.to_dict() | {'page': str(page)})}"


def _why(error: Exception) -> str:
    cause = error.__cause__
    found = [f"{'/'.join(map(str, one.path))}: {one.message}"[:200] for one in getattr(cause, "schema_errors", [])]
    return "; ".join(found[:4]) or str(cause or error)[:300]
