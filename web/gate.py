"""The gate before the dashboard: Host, methods, credentials, and the headers that every answer carries.

An ASGI middleware around the Quart app, so that it also holds for what the framework answers by itself.
Order: path is public (three) -> answered to anyone; Host -> 421; login, logout, static -> no credential needed;
otherwise a session cookie or `Authorization: Bearer`, where a viewer token is configured -> 401 (JSON, or the login page).
Never a token in a URL. Counterparts: web/dashboard.py composes; web/sessions.py keeps the sessions; web/guard.py the credentials.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, quote

import msgspec
import trio

from web.sessions import Failures, Sessions, SessionsStatistics, statistics

__all__ = ["FORM_MAX_BYTES", "PUBLIC_PATHS", "Access", "Gate", "TokenCheck", "host_name", "is_loopback"]

PUBLIC_PATHS: Final = frozenset({"/metrics", "/healthz", "/readyz"})
"""Answered without a token and under any Host (kubelet probes use the pod's address); no name of the cluster in them."""
OPEN_PREFIX: Final = "/static/"
"""The package's own style, script and icon: the login page needs them, and they say nothing about the cluster."""
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
FORM_MAX_BYTES: Final = 8192
"""Largest login form. Overflow: 413."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


class TokenCheck(Protocol):
    """What is needed of the viewers' credentials (web/guard.py)."""

    def check(self, token: bytes) -> str | None:
        """The credential's name if the token is right, else None; takes the same time for both."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see the dashboard. `credentials` None: anyone who reaches it, which is only sound on loopback.

    `hosts`: names and addresses under which it is asked for, besides loopback's; without port.
    """

    loopback: bool = True
    tls: bool = False
    hosts: frozenset[str] = frozenset()
    credentials: TokenCheck | None = None
    sessions: Sessions = field(default_factory=Sessions)
    failures: Failures = field(default_factory=Failures)

    def __post_init__(self) -> None:
        if self.credentials is None and not self.loopback:
            raise ValueError("beyond loopback the dashboard needs a viewer token")

    @property
    def cookie(self) -> str:
        """The session cookie's name: over TLS bound to this host alone (RFC 6265bis, 4.1.3.2)."""
        return "__Host-protector-session" if self.tls else "protector-session"

    def statistics(self) -> SessionsStatistics:
        """Sessions and wrong tokens."""
        return statistics(self.sessions, self.failures)


def is_loopback(host: str) -> bool:
    """Whether this name or address is this machine's loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_name(header: bytes) -> str | None:
    """The name or address in a Host header, without port, in lower case; None if it is malformed."""
    text = header.decode("latin-1").strip().lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        port = port.removeprefix(":") if bracket and port.startswith(":") else port
    else:
        name, _, port = text.partition(":")
        name = name.removesuffix(".")
    if not name or (port and not (port.isascii() and port.isdigit())):
        return None
    return name


class Gate:
    """The middleware. `login_page(path, wrong)` renders the page that is shown for 401."""

    def __init__(
        self, app: App, access: Access, now: Callable[[], float], login_page: Callable[[str, str], str]
    ) -> None:
        self._app = app
        self._access = access
        self._now = now
        self._login_page = login_page
        self._hosts = LOOPBACK_NAMES | {host.lower().strip("[]").removesuffix(".") for host in access.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1000})  # there is none here
            return
        path: str = scope["path"]
        guarded = _with_headers(send, cacheable=path.startswith(OPEN_PREFIX))
        if path in PUBLIC_PATHS:
            await self._app(_named_localhost(scope), receive, guarded)
        elif not self._host_is_ours(scope):
            await _answer(guarded, receive, scope, 421, b"Not a name of this server.\n")
        elif path in ("/login", "/logout"):
            await self._session_route(scope, receive, guarded)
        elif path.startswith(OPEN_PREFIX) or self._access.credentials is None:
            await self._app(scope, receive, guarded)
        else:
            await self._credential_route(scope, receive, guarded)

    def _host_is_ours(self, scope: Scope) -> bool:
        headers = _headers(scope, b"host")
        name = host_name(headers[0]) if len(headers) == 1 else None
        if name is None:
            return False
        if name in self._hosts:
            return True
        server = scope.get("server")  # the address that this very connection came to: no name, so nothing to rebind
        return server is not None and name == str(server[0]).lower()

    async def _credential_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A session, or a right token in the header, gets through; a wrong or no token is told how to come in."""
        if self._session_of(scope) is not None:
            await self._app(scope, receive, send)
            return
        offered = _headers(scope, b"authorization")
        wait_s, right = 0.0, False
        if offered:
            scheme, _, token = offered[0].partition(b" ")
            wait_s, right = self._try(scope, token.strip() if scheme.lower() == b"bearer" else b"")
        if right:
            await self._app(scope, receive, send)
        elif wait_s:
            await _answer(
                send, receive, scope, 429, b"Too many wrong tokens.\n", (b"retry-after", b"%d" % (int(wait_s) + 1))
            )
        elif scope["path"].startswith("/api/"):
            body = msgspec.json.encode({"error": "a viewer token is needed: Authorization: Bearer <token>"})
            challenge = (b"www-authenticate", b'Bearer realm="protector"')
            await _answer(send, receive, scope, 401, body, (b"content-type", b"application/json"), challenge)
        else:
            query = scope.get("query_string", b"").decode("latin-1")
            page = self._login_page(quote(scope["path"]) + (f"?{query}" if query else ""), "")
            await _answer(send, receive, scope, 401, page.encode(), (b"content-type", b"text/html; charset=utf-8"))

    async def _session_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if scope["path"] == "/login" and method in ("GET", "HEAD"):
            page = self._login_page("/", "")
            await _answer(send, receive, scope, 200, page.encode(), (b"content-type", b"text/html; charset=utf-8"))
        elif method != "POST":
            allow = b"GET, HEAD, POST" if scope["path"] == "/login" else b"POST"
            await _answer(send, receive, scope, 405, b"Method not allowed.\n", (b"allow", allow))
        elif _headers(scope, b"sec-fetch-site") not in ([], [b"same-origin"], [b"none"]):
            await _answer(send, receive, scope, 403, b"Only from this server's own pages.\n")
        elif scope["path"] == "/logout":
            session = _cookie(scope, self._access.cookie)
            if session is not None:
                self._access.sessions.end(session)
            await _answer(send, receive, scope, 303, b"", (b"location", b"/login"), self._set_cookie("", 0))
        else:
            await self._login(scope, receive, send)

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_form(receive)
        if body is None:
            await _answer(send, receive, scope, 413, b"Too large.\n")
            return
        form = parse_qs(body.decode("latin-1"), max_num_fields=8)
        target = _own_path(form.get("next", ["/"])[0])
        wait_s, right = self._try(scope, form.get("token", [""])[0].strip().encode("utf-8", "surrogateescape"))
        if right:
            session = self._access.sessions.open(self._now())
            cookie = self._set_cookie(session, int(self._access.sessions.ttl_s))
            await _answer(send, receive, scope, 303, b"", (b"location", target.encode("latin-1", "replace")), cookie)
            return
        wrong = f"Too many wrong tokens. Try again in {int(wait_s) + 1} s." if wait_s else "That is no viewer token."
        page = self._login_page(target, wrong).encode()
        extra = ((b"retry-after", b"%d" % (int(wait_s) + 1)),) if wait_s else ()
        status = 429 if wait_s else 401
        await _answer(send, receive, scope, status, page, (b"content-type", b"text/html; charset=utf-8"), *extra)

    def _try(self, scope: Scope, token: bytes) -> tuple[float, bool]:
        """(seconds to wait, right): a peer with too many failures is not told whether its token is right."""
        access, now = self._access, self._now()
        peer = str((scope.get("client") or ("",))[0])
        wait_s = access.failures.wait_s(peer, now)
        if wait_s:
            return wait_s, False
        if access.credentials is None or (token and access.credentials.check(token) is not None):
            return 0.0, True
        access.failures.count(peer, now)
        return 0.0, False

    def _session_of(self, scope: Scope) -> str | None:
        session = _cookie(scope, self._access.cookie)
        return session if session is not None and self._access.sessions.holds(session, self._now()) else None

    def _set_cookie(self, value: str, max_age_s: int) -> tuple[bytes, bytes]:
        secure = "; Secure" if self._access.tls else ""
        text = f"{self._access.cookie}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"
        return (b"set-cookie", text.encode())


def _with_headers(send: Send, *, cacheable: bool) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in SECURITY_HEADERS} | (set() if cacheable else {b"cache-control"})
            headers = [(name, value) for name, value in message.get("headers", []) if name.lower() not in ours]
            headers += SECURITY_HEADERS
            if not cacheable:
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return guarded


async def _answer(
    send: Send, receive: Receive, scope: Scope, status: int, body: bytes, *headers: tuple[bytes, bytes]
) -> None:
    """Answers, and throws away what of the body comes meanwhile: a server whose queue is full could not send otherwise."""
    if all(name != b"content-type" for name, _ in headers):
        headers = (*headers, (b"content-type", b"text/plain; charset=utf-8"))
    length = (b"content-length", b"%d" % len(body))

    async def discard() -> None:
        while (await receive())["type"] == "http.request":
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(discard)
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body, "more_body": False}
        )
        nursery.cancel_scope.cancel()


async def _read_form(receive: Receive) -> bytes | None:
    """The whole body, or None if it is larger than a login form can be or the client left."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > FORM_MAX_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value for key, value in pairs if key.lower() == name]


def _cookie(scope: Scope, name: str) -> str | None:
    for header in _headers(scope, b"cookie"):
        for part in header.decode("latin-1").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name and value:
                return value
    return None


def _own_path(target: str) -> str:
    """The target if it is a path of this server in plain ASCII, otherwise "/": a login never leads elsewhere."""
    plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") else "/"


def _named_localhost(scope: Scope) -> Scope:
    """The scope with a Host that the framework can parse: these paths are answered whatever the client called us."""
    headers = [(key, value) for key, value in scope["headers"] if key.lower() != b"host"]
    return {**scope, "headers": [*headers, (b"host", b"localhost")]}
